// As fuzz_test.cc, what reaches the server.
#include "tests/fuzz/replay.h"
#include "tests/fuzz/server_targets.h"

namespace sparsed::fuzz {
namespace {

struct Row {
  const char* name;  // of the corpus
  Target target;
  int mutations;
};
constexpr Row kRows[] = {{"generate_request", FuzzGenerateRequest, 10000},
                         {"inspect_request", FuzzInspectRequest, 5000},
                         {"infer_request", FuzzInferRequest, 5000},
                         {"raw_tensor", FuzzRawTensor, 10000},
                         {"sampling_parameters", FuzzSamplingParameters, 5000},
                         {"openai_request", FuzzOpenAiRequest, 5000},
                         {"trace_context", FuzzTraceContext, 40000},
                         {"token_file", FuzzTokenFile, 20000},
                         {"config_file", FuzzConfigFile, 5000}};

TEST_CASE("the committed corpus passes the server's targets") {
  for (const Row& row : kRows) Replay(row.target, row.name);
}

TEST_CASE("mutated inputs of the server are refused as promised or taken soundly") {
  uint32_t seed = 10;
  for (const Row& row : kRows) {
    const int accepted = Mutated(row.target, row.name, seed++, row.mutations);
    INFO(row.name << ": " << accepted << " of " << row.mutations);
    // The mutations reach both sides of the border.
    CHECK(accepted > row.mutations / 100);
    CHECK(accepted < row.mutations * 9 / 10);
  }
}

}  // namespace
}  // namespace sparsed::fuzz
