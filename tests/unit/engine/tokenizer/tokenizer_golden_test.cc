// Encodings and decodings of the tokenizers library; see tests/golden/tokenizer/make_goldens.py.
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::Tokenizer;
using Ids = std::vector<int32_t>;

void CheckEncodings(const Tokenizer& tokenizer, const nlohmann::json& texts,
                    const nlohmann::json& expected, Tokenizer::Special special) {
  REQUIRE(texts.size() == expected.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    INFO("text " << i << ": " << texts[i].dump());
    CHECK(Ok(tokenizer.Encode(texts[i].get<std::string>(), special)) == expected[i].get<Ids>());
  }
}

TEST_CASE("Encode and Decode agree with the tokenizers library") {
  const nlohmann::json goldens =
      ParseJsonText(ReadGzipFile(SourcePath("tests/golden/tokenizer/goldens.json.gz")));
  REQUIRE(goldens["variants"].size() >= 20);
  for (const nlohmann::json& variant : goldens["variants"]) {
    INFO("variant " << variant["name"]);
    const auto tokenizer = variant.contains("tokenizer") ? ParseTokenizer(variant["tokenizer"])
                                                         : Ok(Tokenizer::Load(NanoDir()));
    CheckEncodings(*tokenizer, goldens["texts"], variant["ids"], Tokenizer::Special::kParse);
    const char* plain = variant.contains("plain_ids") ? "plain_ids" : "ids";
    CheckEncodings(*tokenizer, goldens["texts"], variant[plain], Tokenizer::Special::kPlain);
    for (const nlohmann::json& decoding : variant["decodings"]) {
      const Ids ids = decoding["ids"].get<Ids>();
      INFO("ids " << decoding["ids"].dump());
      CHECK(tokenizer->Decode(ids, true) == decoding["kept"].get<std::string>());
      CHECK(tokenizer->Decode(ids, false) == decoding["skipped"].get<std::string>());
    }
  }
}

}  // namespace
}  // namespace sparsed::testing
