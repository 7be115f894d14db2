// A committed corpus and its mutations, for fuzz targets as ordinary tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::fuzz {

using Target = bool (*)(const uint8_t*, size_t);

inline std::vector<std::string> Corpus(const std::string& name) {
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
inline bool Feed(Target target, const std::string& input) {
  const auto bytes = std::make_unique<uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), bytes.get());
  return target(bytes.get(), input.size());
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

// The corpus as it is: it has inputs of both kinds.
inline void Replay(Target target, const std::string& name) {
  const std::vector<std::string> corpus = Corpus(name);
  const auto accepted = std::count_if(corpus.begin(), corpus.end(),
                                      [target](const auto& input) { return Feed(target, input); });
  INFO(name);
  CHECK(accepted > 0);
  CHECK(accepted < static_cast<std::ptrdiff_t>(corpus.size()));
}

// How many of so many mutations of the corpus the target accepts.
inline int Mutated(Target target, const std::string& name, uint32_t seed, int mutations) {
  const std::vector<std::string> corpus = Corpus(name);
  REQUIRE(!corpus.empty());
  Mutator mutator(seed);
  int accepted = 0;
  for (int i = 0; i < mutations; ++i) {
    accepted += Feed(target, mutator.Mutate(corpus[mutator.Below(corpus.size())]));
  }
  return accepted;
}

}  // namespace sparsed::fuzz
