// The tensors of the Open Inference Protocol that stand for a generation: text_input, stream and
// sampling_parameters in, text_output out. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inference/grpc_service.pb.h"
#include "server/errors.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::server {

// The only version that a model has. A character: GCC 12 warns of one-letter strings that protobuf
// assigns.
inline constexpr char kModelVersion = '1';

struct InferCall {
  v1::GenerateRequest request;
  bool stream = false;       // text as it is committed, in several responses
  bool empty_final = false;  // the last one of a stream has no text
};

// Inputs: text_input BYTES[1]; stream BOOL[1] and sampling_parameters BYTES[1] may be left out. The
// latter is a JSON object: the fields of sparsed.v1.SamplingOptions, max_tokens for gen_length,
// sparse for SparseOptions, and chat: true to take the text as a user's turn instead of a prompt.
// Every tensor is either raw or has contents. INVALID_ARGUMENT with everything that is wrong with
// the tensors.
std::optional<Failure> ParseInfer(const inference::ModelInferRequest& request, InferCall* call);

// The elements of a raw BYTES tensor: each has its length in front, 4 bytes, little-endian. Nothing
// where lengths and bytes do not fit together.
std::optional<std::vector<std::string>> SplitRawBytes(const std::string& raw);
std::string JoinRawBytes(const std::vector<std::string>& elements);

// A response with this text, raw; without an output where there is none. final: says that it is the
// last one of the request.
inference::ModelInferResponse InferResponse(const std::string& model, const std::string& id,
                                            const std::optional<std::string>& text, bool final);

}  // namespace sparsed::server
