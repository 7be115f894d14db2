// The fuzz targets as ordinary tests: the committed corpus, then a fixed number of mutations of it.
// The seed is fixed, so a failure repeats.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/testing/catch.h"

namespace sparsed::fuzz {
namespace {

using Target = void (*)(const uint8_t*, size_t);

constexpr int kMutations = 40000;

std::vector<std::string> Corpus(const std::string& name) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(SPARSED_FUZZ_CORPUS_DIR "/" + name)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// An allocation of exactly the input's size, so that a sanitizer sees every byte read beyond it.
void Feed(Target target, const std::string& input) {
  const auto bytes = std::make_unique<uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), bytes.get());
  target(bytes.get(), input.size());
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string text) {
    const int edits = 1 + static_cast<int>(Below(4));
    for (int i = 0; i < edits; ++i) Edit(text);
    return text;
  }

  size_t Below(size_t limit) { return random_() % limit; }

 private:
  void Edit(std::string& text) {
    static const char* const kPieces[] = {"\"",
                                          "{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "0",
                                          "-1",
                                          "1e9",
                                          "9223372036854775808",
                                          "null",
                                          "true",
                                          "false",
                                          "18446744073709551615",
                                          "4294967296",
                                          "\\ud800",
                                          "\xff",
                                          "\xf4\x90\x80\x80",
                                          "\xEF\xBB\xBF",
                                          "[[[[[[[[",
                                          "\"F4\"",
                                          "\"BF16\"",
                                          "\"__metadata__\":{},",
                                          "\\u0000"};
    const size_t at = Below(text.size() + 1);
    const size_t length = std::min(text.size() - at, Below(9));
    switch (Below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << Below(8)));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, kPieces[Below(std::size(kPieces))]);
        break;
      case 3:
        text.replace(at, length, kPieces[Below(std::size(kPieces))]);
        break;
      case 4:
        text.insert(at, text.substr(Below(text.size() + 1), Below(64)));
        break;
      default:
        if (at < text.size() && text[at] >= '0' && text[at] <= '9') {
          text[at] = static_cast<char>('0' + Below(10));
        } else {
          text.resize(at + Below(2) * (text.size() - at));
        }
    }
  }

  std::mt19937 random_;
};

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
  for (const std::string& input : Corpus("safetensors")) Feed(FuzzSafetensors, input);
  for (const std::string& input : Corpus("model_config")) Feed(FuzzModelConfig, input);
}

TEST_CASE("mutated safetensors files are refused or read soundly") {
  const std::vector<std::string> corpus = Corpus("safetensors");
  REQUIRE(!corpus.empty());
  Mutator mutator(1);
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string input = MutateFile(mutator, corpus[mutator.Below(corpus.size())]);
    Feed(FuzzSafetensors, input);
    accepted +=
        engine::ParseSafetensors(reinterpret_cast<const uint8_t*>(input.data()), input.size()).ok();
  }
  // The mutations reach both sides of the border.
  CHECK(accepted > kMutations / 100);
  CHECK(accepted < kMutations / 2);
}

TEST_CASE("mutated configurations are refused or read soundly") {
  const std::vector<std::string> corpus = Corpus("model_config");
  REQUIRE(!corpus.empty());
  Mutator mutator(2);
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string input = mutator.Mutate(corpus[mutator.Below(corpus.size())]);
    Feed(FuzzModelConfig, input);
    accepted += engine::ParseModelConfig(input).ok();
  }
  CHECK(accepted > kMutations / 100);
  CHECK(accepted < kMutations / 2);
}

}  // namespace
}  // namespace sparsed::fuzz
