// The fuzz targets as ordinary tests: the committed corpus, then a fixed number of mutations of it.
// The seed is fixed, so a failure repeats.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/replay.h"
#include "tests/testing/catch.h"

namespace sparsed::fuzz {
namespace {

constexpr int kMutations = 40000;

// Half of the mutated headers get a true length again: a lying length ends the parse at once.
std::string MutateFile(Mutator& mutator, const std::string& file) {
  if (file.size() < 8 || mutator.Below(4) == 0) return mutator.Mutate(file);
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | static_cast<uint8_t>(file[i]);
  header_bytes = std::min<uint64_t>(header_bytes, file.size() - 8);
  const std::string header = mutator.Mutate(file.substr(8, header_bytes));
  std::string mutated;
  for (int i = 0; i < 8; ++i) mutated += static_cast<char>(header.size() >> (8 * i));
  return mutated + header + file.substr(8 + header_bytes);
}

TEST_CASE("the committed corpus passes the targets") {
  Replay(FuzzSafetensors, "safetensors");
  Replay(FuzzModelConfig, "model_config");
  Replay(FuzzGenerationConfig, "generation_config");
  Replay(FuzzTokenizer, "tokenizer");
  Replay(FuzzQwen2Files, "qwen2_files");
  Replay(FuzzChatTemplate, "chat_template");
}

TEST_CASE("mutated safetensors files are refused or read soundly") {
  const std::vector<std::string> corpus = Corpus("safetensors");
  REQUIRE(!corpus.empty());
  Mutator mutator(1);
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string input = MutateFile(mutator, corpus[mutator.Below(corpus.size())]);
    accepted += Feed(FuzzSafetensors, input);
  }
  // The mutations reach both sides of the border.
  CHECK(accepted > kMutations / 100);
  CHECK(accepted < kMutations / 2);
}

TEST_CASE("mutated configurations are refused or read soundly") {
  for (const int accepted : {Mutated(FuzzModelConfig, "model_config", 2, kMutations),
                             Mutated(FuzzGenerationConfig, "generation_config", 5, kMutations)}) {
    CHECK(accepted > kMutations / 100);
    CHECK(accepted < kMutations / 2);
  }
}

// tests/unit/engine/tokenizer mutates these further.
TEST_CASE("mutated tokenizers and chat templates are refused or used soundly") {
  constexpr int kFew = 2000;
  for (const int accepted : {Mutated(FuzzTokenizer, "tokenizer", 3, kFew),
                             Mutated(FuzzQwen2Files, "qwen2_files", 6, kFew),
                             Mutated(FuzzChatTemplate, "chat_template", 4, kFew)}) {
    CHECK(accepted > kFew / 100);
    CHECK(accepted < kFew / 2);
  }
}

}  // namespace
}  // namespace sparsed::fuzz
