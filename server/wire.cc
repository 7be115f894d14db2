#include "server/wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/tokenizer/tokenizer.h"

namespace sparsed::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

std::string Join(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string joined;
  if (!bytes.Dump(&slices).ok()) return joined;
  joined.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    joined.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return joined;
}

}  // namespace

std::optional<Failure> ParseMessage(const grpc::ByteBuffer& bytes,
                                    google::protobuf::Message* message) {
  const std::string joined = Join(bytes);
  // Looked at first: the parser would print a warning of its own for such a string.
  std::string field = FindInvalidUtf8(*message->GetDescriptor(), joined);
  // Paths count from the GenerateRequest, streamed or not.
  if (field.rfind("request.", 0) == 0) field = field.substr(8);
  if (!field.empty()) return BadFields(OneViolation(field, "the text is not valid UTF-8"));
  if (message->ParseFromString(joined)) return std::nullopt;
  const std::string& name = message->GetDescriptor()->full_name();
  return BadFields(OneViolation("request", "the bytes are no ", name, " message"));
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

std::string FindInvalidUtf8(const Descriptor& type, const std::string& bytes) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  std::map<int, int> seen;
  while (const uint32_t tag = in.ReadTag()) {
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const bool text = field != nullptr && field->type() == FieldDescriptor::TYPE_STRING;
    const bool nested = field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE;
    const bool bytes_follow =
        WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (!bytes_follow || !(text || nested)) {
      if (!WireFormatLite::SkipField(&in, tag)) return "";
      continue;
    }
    uint32_t length = 0;
    std::string value;
    if (!in.ReadVarint32(&length) || !in.ReadString(&value, static_cast<int>(length))) return "";
    std::string path = field->name();
    if (field->is_repeated()) absl::StrAppend(&path, "[", seen[field->number()]++, "]");
    if (text && !engine::IsValidUtf8(value)) return path;
    if (nested) {
      const std::string inner = FindInvalidUtf8(*field->message_type(), value);
      if (!inner.empty()) return absl::StrCat(path, ".", inner);
    }
  }
  return "";
}

}  // namespace sparsed::server
