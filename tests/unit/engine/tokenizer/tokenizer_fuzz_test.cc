// Deterministic mutations: whatever the input, an answer or a Status, and no undefined behaviour.
#include <random>

#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/text_assembler.h"
#include "engine/tokenizer/tokenizer_definition.h"
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::ChatTemplate;
using engine::PlainRange;
using engine::Tokenizer;

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t limit) { return random_() % limit; }

  // A few edits: bytes changed, removed, doubled, or words of `dictionary` put in.
  std::string Mutate(std::string text, const std::vector<std::string>& dictionary) {
    for (size_t edits = 1 + Below(4); edits > 0; --edits) {
      const size_t at = Below(text.size() + 1);
      const size_t length = std::min(Below(12), text.size() - at);
      switch (Below(5)) {
        case 0:
          if (at < text.size()) text[at] = static_cast<char>(Below(256));
          break;
        case 1:
          text.erase(at, length);
          break;
        case 2:
          text.insert(at, text.substr(at, length));
          break;
        default:
          text.replace(at, Below(2) == 0 ? length : 0, dictionary[Below(dictionary.size())]);
      }
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

const std::vector<std::string> kJsonWords = {"null",
                                             "true",
                                             "-1",
                                             "1e99",
                                             "99999999999999999999",
                                             "\"\"",
                                             "[]",
                                             "{}",
                                             ",",
                                             ":",
                                             "{",
                                             "}",
                                             "[",
                                             "]",
                                             "\"Regex\"",
                                             "\"String\"",
                                             "\"a b\"",
                                             "\"<x>\"",
                                             "4194303",
                                             "6",
                                             "\"(\"",
                                             "\"\\\\p{L}+\"",
                                             "\"normalized\":true,",
                                             "\"lstrip\":true,",
                                             "\"rstrip\":true,",
                                             "\"single_word\":true,",
                                             "\"ignore_merges\":true,",
                                             "\"byte_fallback\":true,",
                                             "\"unk_token\":\"a\",",
                                             "\"continuing_subword_prefix\":\"a\",",
                                             "\"end_of_word_suffix\":\"b\",",
                                             "\"fuse_unk\":true,",
                                             "\"(a*)*b\"",
                                             "\"[^a]\"",
                                             "\"\""};
const std::vector<std::string> kTemplateWords = {"{{",
                                                 "}}",
                                                 "{%",
                                                 "%}",
                                                 "{%-",
                                                 "-%}",
                                                 "{#",
                                                 "#}",
                                                 "if ",
                                                 "for m in messages",
                                                 "endif",
                                                 "endfor",
                                                 "else",
                                                 "elif ",
                                                 "set x = ",
                                                 "messages",
                                                 "m.content",
                                                 "[0]",
                                                 "[1:]",
                                                 "[::-1]",
                                                 "[-1]",
                                                 "|trim",
                                                 "|length",
                                                 "|tojson",
                                                 "loop.index0",
                                                 "loop.last",
                                                 "namespace(a=1)",
                                                 " is defined",
                                                 " is not none",
                                                 " in ",
                                                 " not ",
                                                 " and ",
                                                 " or ",
                                                 "==",
                                                 "+",
                                                 "~",
                                                 "-",
                                                 "//",
                                                 "%",
                                                 "'",
                                                 "\"",
                                                 "\\",
                                                 "(",
                                                 ")",
                                                 "[",
                                                 "]",
                                                 ".",
                                                 ".split('a')",
                                                 ".strip()",
                                                 "9223372036",
                                                 "x",
                                                 "raise_exception('a')",
                                                 "\n",
                                                 "bos_token"};
const std::vector<std::string> kTextWords = {"<x>",
                                             "<y>",
                                             "<|eot_id|>",
                                             "<",
                                             ">",
                                             "\xff",
                                             "\xc3",
                                             "\xa9",
                                             "\xe2\x82",
                                             "\xf0\x9f\x98\x80",
                                             "e\u0301",
                                             "\u0085",
                                             "\u180e",
                                             " ",
                                             "\n",
                                             "\r\n",
                                             "'s",
                                             "ab",
                                             "abc",
                                             "a",
                                             "0",
                                             "\u0661",
                                             "\u1112\u1161\u11ab",
                                             std::string(1, '\0')};

// One value of the file becomes another, mostly of its own kind.
std::string ReplaceValue(const nlohmann::json& file, Mutator* mutator) {
  static const std::vector<std::string> kStrings = {
      "a", "b", "ab", " ", "<x>", "\\p{L}+", "x*", "|", "\u00e9", "\u0120", "e\u0301", "[^", "(?:"};
  const nlohmann::json flat = file.flatten();
  auto member = flat.begin();
  std::advance(member, static_cast<std::ptrdiff_t>(mutator->Below(flat.size())));
  nlohmann::json value =
      nlohmann::json::parse(kJsonWords[mutator->Below(kJsonWords.size())], nullptr, false);
  const bool own_kind = mutator->Below(4) != 0 || value.is_discarded();
  if (own_kind && member->is_boolean()) value = !member->get<bool>();
  if (own_kind && member->is_number()) value = mutator->Below(12);
  if (own_kind && (member->is_string() || member->is_null())) {
    const std::string before = member->is_string() ? member->get<std::string>() : "";
    value = kStrings[mutator->Below(kStrings.size())] + (mutator->Below(2) == 0 ? before : "");
  }
  nlohmann::json result = file;
  if (!value.is_discarded()) result[nlohmann::json::json_pointer(member.key())] = value;
  return result.dump();
}

TEST_CASE("mutated tokenizer.json") {
  const nlohmann::json file = SmallTokenizer();
  const std::string seed = file.dump();
  int loaded = 0;
  for (uint32_t i = 0; i < 6000; ++i) {
    INFO("seed " << i);
    Mutator mutator(i);
    const std::string mutated =
        i % 2 == 0 ? mutator.Mutate(seed, kJsonWords) : ReplaceValue(file, &mutator);
    const auto tokenizer = Tokenizer::Parse(mutated, "");
    if (!tokenizer.ok()) {
      REQUIRE(tokenizer.status().code() == absl::StatusCode::kInvalidArgument);
      continue;
    }
    ++loaded;
    const std::string text = mutator.Mutate("abc <x>ab<y> c1", kTextWords);
    const auto ids = (*tokenizer)->Encode(text, Tokenizer::Special::kParse);
    if (!ids.ok()) continue;
    REQUIRE(engine::IsValidUtf8((*tokenizer)->Decode(*ids, true)));
    for (const int32_t id : *ids) REQUIRE((id >= 0 && id < (*tokenizer)->vocab_size()));
  }
  CHECK(loaded > 300);
}

TEST_CASE("mutated vocab.json, merges.txt and their configuration") {
  nlohmann::json vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    engine::AppendByteAlphabet(std::string(1, static_cast<char>(byte)), &character);
    vocabulary[character] = byte;
  }
  vocabulary["ab"] = 256;
  vocabulary["abc"] = 257;
  const std::string files[] = {
      vocabulary.dump(), "#version: 0.2\na b\nab c\n",
      R"({"eos_token": "<x>", "additional_special_tokens": [{"content": "<y>"}],
          "added_tokens_decoder": {"300": {"content": "<x>", "lstrip": true, "special": true},
                                   "301": {"content": "<y>", "rstrip": true}}})"};
  int loaded = 0;
  for (uint32_t i = 0; i < 1500; ++i) {
    INFO("seed " << i);
    Mutator mutator(i);
    std::string mutated[] = {files[0], files[1], files[2]};
    mutated[i % 3] = mutator.Mutate(files[i % 3], kJsonWords);
    const auto definition = engine::ParseQwen2Files(mutated[0], mutated[1], mutated[2], "");
    loaded += definition.ok() ? 1 : 0;
    if (!definition.ok()) {
      REQUIRE(definition.status().code() == absl::StatusCode::kInvalidArgument);
    }
  }
  CHECK(loaded > 50);
}

TEST_CASE("mutated chat templates") {
  const nlohmann::json golden =
      ParseJsonText(ReadWholeFile(SourcePath("tests/golden/tokenizer/templates.json")));
  const auto tokenizer = ParseTokenizer(SmallTokenizer());
  int parsed = 0;
  int rendered = 0;
  for (uint32_t i = 0; i < 8000; ++i) {
    INFO("seed " << i);
    Mutator mutator(i);
    const nlohmann::json& templates = golden["templates"];
    const auto seed = templates[mutator.Below(templates.size())]["template"].get<std::string>();
    const auto chat_template =
        ChatTemplate::Parse(mutator.Mutate(seed, kTemplateWords), "<s>", "</s>");
    if (!chat_template.ok()) {
      REQUIRE(chat_template.status().code() == absl::StatusCode::kInvalidArgument);
      continue;
    }
    ++parsed;
    const auto ids =
        (*chat_template)
            ->Encode({{"user", mutator.Mutate("<x> a", kTextWords)}, {"system", "b"}}, *tokenizer);
    rendered += ids.ok() ? 1 : 0;
    if (!ids.ok()) REQUIRE(ids.status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(parsed > 800);
  CHECK(rendered > 500);
}

TEST_CASE("mutated texts and plain ranges") {
  const auto nano = Ok(Tokenizer::Load(NanoDir()));
  const auto small = ParseTokenizer(SmallTokenizer());
  int encoded = 0;
  for (uint32_t i = 0; i < 8000; ++i) {
    INFO("seed " << i);
    Mutator mutator(i);
    std::string text = "The <|eot_id|> quick 12 br\u00f6wn \u4f60\u597d";
    for (size_t rounds = mutator.Below(6); rounds > 0; --rounds)
      text = mutator.Mutate(text, kTextWords);
    std::vector<PlainRange> plain;
    for (size_t at = mutator.Below(8); at < text.size(); at += mutator.Below(9)) {
      const size_t end = std::min(text.size(), at + mutator.Below(9));
      plain.push_back({at, end});
      at = end;
    }
    const auto ids = nano->Encode(text, plain);
    REQUIRE(ids.ok() == engine::IsValidUtf8(text));
    REQUIRE(small->Encode(text, plain).ok() == ids.ok());
    if (!ids.ok()) continue;
    ++encoded;
    REQUIRE(nano->Decode(*ids, true) == text);
    REQUIRE(nano->Decode(Ok(nano->Encode(text, Tokenizer::Special::kPlain)), false) == text);
  }
  CHECK(encoded > 1000);
}

}  // namespace
}  // namespace sparsed::testing
