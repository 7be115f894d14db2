// One tokenizer in many threads.
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {

TEST_CASE("many threads encode at once") {
  const auto tokenizer = ParseTokenizer(Variant("bailing_nfc"));
  const std::string text = "Hello wo\u0301rld, don't 123 <|eot_id|>\n\n  x";
  const std::vector<int32_t> expected =
      Ok(tokenizer->Encode(text, engine::Tokenizer::Special::kParse));
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto ids = tokenizer->Encode(text, engine::Tokenizer::Special::kParse);
        if (!ids.ok() || *ids != expected) ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

}  // namespace sparsed::testing
