#include "engine/tokenizer/tokenizer.h"

#include <ctime>

#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::PlainRange;
using engine::Tokenizer;
using Ids = std::vector<int32_t>;

TEST_CASE("text that is not UTF-8 is refused") {
  const auto tokenizer = ParseTokenizer(SmallTokenizer());
  for (const std::string text : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}) {
    const auto ids = tokenizer->Encode(text, Tokenizer::Special::kParse);
    CHECK(ids.status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("special tokens that touch a plain range are ordinary characters") {
  const auto tokenizer = ParseTokenizer(SmallTokenizer());
  const auto encode = [&](const std::string& text, const std::vector<PlainRange>& plain) {
    return Ok(tokenizer->Encode(text, plain));
  };
  // The vocabulary has none of "<", "x", ">", so that plain text leaves nothing here.
  CHECK(encode("a<x>b<x>", {}) == Ids{0, 6, 1, 6});
  CHECK(encode("a<x>b<x>", {{1, 4}}) == Ids{0, 1, 6});
  CHECK(encode("a<x>b<x>", {{0, 2}}) == Ids{0, 1, 6});
  CHECK(encode("a<x>b<x>", {{3, 4}}) == Ids{0, 1, 6});
  CHECK(encode("a<x>b<x>", {{2, 3}, {5, 8}}) == Ids{0, 1});
  CHECK(encode("a<x>b<x>", {{0, 1}, {4, 5}}) == Ids{0, 6, 1, 6});
  CHECK(encode("a<x>b<x>", {{0, 0}, {2, 2}}) == Ids{0, 6, 1, 6});
  // Tokens that are not special are found everywhere.
  CHECK(encode("<y>", {{0, 3}}) == Ids{7});
  CHECK(Ok(tokenizer->Encode("<x><y>", Tokenizer::Special::kPlain)) == Ids{7});
}

TEST_CASE("plain ranges follow the text through NFC") {
  nlohmann::json file = SmallTokenizer();
  file["added_tokens"][0]["normalized"] = true;
  const auto tokenizer = ParseTokenizer(file);
  // Every "e\u0301" becomes one byte shorter, so that a range that stays behind hits another token.
  const std::string text = "<x>e\u0301e\u0301e\u0301<x>e\u0301e\u0301e\u0301<x>";
  REQUIRE(text.size() == 27);
  CHECK(Ok(tokenizer->Encode(text, std::vector<PlainRange>{})) == Ids{6, 6, 6});
  CHECK(Ok(tokenizer->Encode(text, {{0, 3}})).size() == 2);
  CHECK(Ok(tokenizer->Encode(text, {{3, 12}, {15, 24}})).size() == 3);
  CHECK(Ok(tokenizer->Encode(text, {{12, 15}})).size() == 2);
  CHECK(Ok(tokenizer->Encode(text, {{0, 12}, {15, 27}})).size() == 1);
  CHECK(Ok(tokenizer->Encode(text, {{0, 27}})).empty());
}

TEST_CASE("plain ranges change nothing where the text holds no special token") {
  for (const char* name : {"bailing_nfc", "flags", "gpt2_prefix_space"}) {
    INFO(name);
    const auto tokenizer = ParseTokenizer(Variant(name));
    const std::string text =
        "<|eot_id|>Hello wo\u0301rld, e\u0301 <A> don't  x\n\n<|eot_id|> \u4f60\u597d";
    const Ids whole = Ok(tokenizer->Encode(text, Tokenizer::Special::kParse));
    for (size_t begin = 10; begin < 24; ++begin) {
      CHECK(Ok(tokenizer->Encode(text, {{begin, 24}})) == whole);
    }
  }
}

TEST_CASE("a word of 100,000 characters is not quadratic") {
  const auto nano = Ok(Tokenizer::Load(NanoDir()));
  const auto bailing = ParseTokenizer(Variant("bailing_nfc"));
  const auto unsplit = ParseTokenizer(Variant("no_split"));
  std::string mixed;
  for (int i = 0; i < 25000; ++i) mixed += "the ";
  std::string marks;
  for (int i = 0; i < 50000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0327";
  const std::string texts[] = {std::string(100000, 'a'),
                               std::string(100000, ' '),
                               std::string(100000, '\n'),
                               std::string(100000, '7'),
                               std::string(100000, '!'),
                               std::string(100000, ' ') + "x",
                               std::string(100000, '<'),
                               mixed,
                               marks};
  for (const std::string& text : texts) {
    for (const Tokenizer* tokenizer : {nano.get(), bailing.get(), unsplit.get()}) {
      INFO("text of " << text.substr(0, 4));
      const std::clock_t start = std::clock();
      const Ids ids = Ok(tokenizer->Encode(text, Tokenizer::Special::kParse));
      CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 4);
      if (text != marks) CHECK(tokenizer->Decode(ids, true) == text);
    }
  }
}

TEST_CASE("Decode joins bytes before it decodes") {
  const auto tokenizer = Ok(Tokenizer::Load(NanoDir()));
  const Ids ids = Ok(tokenizer->Encode("\U0001f9a9", Tokenizer::Special::kParse));
  REQUIRE(ids.size() > 1);
  CHECK(tokenizer->Decode(ids, false) == "\U0001f9a9");
  CHECK(tokenizer->Decode({ids[0]}, false) == "\uFFFD");
  CHECK(tokenizer->Decode({ids[0], 4, ids[1]}, false) ==
        tokenizer->Decode({ids[0], ids[1]}, false));
  CHECK(tokenizer->Decode({4, 100000, -5}, false).empty());
}

}  // namespace
}  // namespace sparsed::testing
