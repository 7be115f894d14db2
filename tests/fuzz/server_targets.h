// What a fuzzer feeds with bytes: what reaches the server from clients and from its administrator.
// Each target aborts if the server accepts what it must not, or refuses in a way that clients are
// not promised; it returns whether the bytes were accepted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsed::fuzz {

// A GenerateRequest as it comes by the wire, up to what the engine gets.
bool FuzzGenerateRequest(const uint8_t* data, size_t size);
// An InspectRequest, as far.
bool FuzzInspectRequest(const uint8_t* data, size_t size);
// A ModelInferRequest, as far.
bool FuzzInferRequest(const uint8_t* data, size_t size);
// The raw contents of a BYTES tensor, text_input's.
bool FuzzRawTensor(const uint8_t* data, size_t size);
// The JSON of sampling_parameters.
bool FuzzSamplingParameters(const uint8_t* data, size_t size);
// The body of OpenAI's two requests, up to what the engine gets.
bool FuzzOpenAiRequest(const uint8_t* data, size_t size);
// The headers traceparent and, behind a line break, tracestate.
bool FuzzTraceContext(const uint8_t* data, size_t size);
// The text of --auth-token-file.
bool FuzzTokenFile(const uint8_t* data, size_t size);
// The text of --config.
bool FuzzConfigFile(const uint8_t* data, size_t size);

}  // namespace sparsed::fuzz
