// Small tokenizers in the layouts of the model families against the real libraries, on a corpus
// that tokenizers disagree about; see tests/golden/tokenizer/make_family_goldens.py.
#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "engine/tokenizer/text_assembler.h"
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::TextAssembler;
using engine::Tokenizer;
using Ids = std::vector<int32_t>;
using Json = nlohmann::json;

const Json& Goldens() {
  static const Json goldens =
      ParseJsonText(ReadGzipFile(SourcePath("tests/golden/tokenizer/family_goldens.json.gz")));
  return goldens;
}

// From files, as a checkpoint's folder has them.
std::unique_ptr<Tokenizer> LoadLayout(const Json& layout) {
  std::string pattern = (std::filesystem::temp_directory_path() / "sparsed-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  for (const auto& [name, content] : layout["files"].items()) {
    std::ofstream(std::filesystem::path(pattern) / name, std::ios::binary)
        << content.get<std::string>();
  }
  auto tokenizer = Tokenizer::Load(pattern);
  std::filesystem::remove_all(pattern);
  return Ok(std::move(tokenizer));
}

// What the ids of texts[i] decode to: with special tokens, and without.
std::pair<std::string, std::string> DecodedTexts(const Json& layout, size_t i) {
  const Json& entry = layout["texts"][i];
  const std::string kept =
      (entry[0].is_null() ? Goldens()["texts"][i] : entry[0]).get<std::string>();
  return {kept, entry[1].is_null() ? kept : entry[1].get<std::string>()};
}

std::string Stream(const Tokenizer& tokenizer, const Ids& ids, const std::vector<size_t>& order) {
  if (ids.empty()) return "";
  TextAssembler::Options options;
  options.stop_at_end = false;
  TextAssembler assembler(&tokenizer, options, {{"", static_cast<int32_t>(ids.size())}});
  std::string text;
  for (const size_t i : order) {
    assembler.Commit(static_cast<int32_t>(i), ids[i]);
    const std::string taken = assembler.Take();
    if (!engine::IsValidUtf8(taken)) return "a part that is not UTF-8: " + taken;
    text += taken;
  }
  return text + assembler.Finish();
}

TEST_CASE("families: ids equal the real library's on the whole corpus") {
  REQUIRE(Goldens()["layouts"].size() == 7);
  const Json& texts = Goldens()["texts"];
  REQUIRE(texts.size() >= 700);
  for (const Json& layout : Goldens()["layouts"]) {
    INFO("layout " << layout["name"]);
    const auto tokenizer = LoadLayout(layout);
    const auto check = [&](const Json& expected, Tokenizer::Special special) {
      REQUIRE(expected.size() == texts.size());
      for (size_t i = 0; i < texts.size(); ++i) {
        const Ids ids = Ok(tokenizer->Encode(texts[i].get<std::string>(), special));
        if (ids == expected[i].get<Ids>()) continue;
        INFO("text " << i << ": " << texts[i].dump().substr(0, 400));
        CHECK(ids == expected[i].get<Ids>());
      }
    };
    check(layout["ids"], Tokenizer::Special::kParse);
    if (layout.contains("plain_ids")) check(layout["plain_ids"], Tokenizer::Special::kPlain);
    const std::set<int32_t> special = layout["special"].get<std::set<int32_t>>();
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      if (tokenizer->IsSpecial(id) != (special.count(id) > 0)) FAIL_CHECK("special: " << id);
    }
  }
}

TEST_CASE("families: decoding equals the real library's, at once and streamed") {
  std::mt19937 random(5);
  for (const Json& layout : Goldens()["layouts"]) {
    INFO("layout " << layout["name"]);
    const auto tokenizer = LoadLayout(layout);
    const auto check = [&](const Ids& ids, const std::string& kept, const std::string& skipped) {
      INFO("ids of \"" << kept.substr(0, 200) << "\"");
      std::vector<size_t> order(ids.size());
      std::iota(order.begin(), order.end(), size_t{0});
      if (tokenizer->Decode(ids, true) != kept) CHECK(tokenizer->Decode(ids, true) == kept);
      if (tokenizer->Decode(ids, false) != skipped) CHECK(tokenizer->Decode(ids, false) == skipped);
      if (Stream(*tokenizer, ids, order) != skipped) FAIL_CHECK("streamed from left to right");
      if (ids.size() > 500) return;
      std::shuffle(order.begin(), order.end(), random);
      if (Stream(*tokenizer, ids, order) != skipped) FAIL_CHECK("streamed in any order");
    };
    for (size_t i = 0; i < layout["ids"].size(); ++i) {
      const auto [kept, skipped] = DecodedTexts(layout, i);
      check(layout["ids"][i].get<Ids>(), kept, skipped);
    }
    REQUIRE(layout["decodings"].size() == 200);
    for (const Json& decoding : layout["decodings"]) {
      check(decoding["ids"].get<Ids>(), decoding["texts"][0].get<std::string>(),
            decoding["texts"][1].get<std::string>());
    }
  }
}

TEST_CASE("families: bytes that are not UTF-8 are refused, or replaced as Python does") {
  const auto tokenizer = LoadLayout(Goldens()["layouts"][0]);
  REQUIRE(Goldens()["invalid"].size() >= 10);
  for (const Json& item : Goldens()["invalid"]) {
    const std::string bytes = absl::HexStringToBytes(item["hex"].get<std::string>());
    INFO(item["hex"]);
    CHECK(engine::ToValidUtf8(bytes) == item["text"].get<std::string>());
    CHECK_FALSE(tokenizer->Encode(bytes, Tokenizer::Special::kParse).ok());
  }
}

}  // namespace
}  // namespace sparsed::testing
