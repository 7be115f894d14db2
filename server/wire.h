// Bytes of the wire to messages and back. Services take bytes, since gRPC answers a message that it
// cannot parse with an empty UNIMPLEMENTED: a string that is not UTF-8 would go unexplained.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <optional>
#include <string>

#include "server/errors.h"

namespace sparsed::server {

// Fills `message`, or says what is wrong: INVALID_ARGUMENT naming the field that is not UTF-8, or
// the message as a whole.
std::optional<Failure> ParseMessage(const grpc::ByteBuffer& bytes,
                                    google::protobuf::Message* message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// Path of the first string field whose bytes are not UTF-8; empty if there is none. Pure.
std::string FindInvalidUtf8(const google::protobuf::Descriptor& type, const std::string& bytes);

}  // namespace sparsed::server
