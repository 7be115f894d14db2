// Tokenizers of vocab.json and merges.txt: which files there must be, and what they may not say.
#include <filesystem>

#include "engine/tokenizer/byte_level.h"
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::Tokenizer;
using Ids = std::vector<int32_t>;
using Json = nlohmann::json;
namespace fs = std::filesystem;

// A folder of the smallest tokenizer: every byte as itself, and "ab" and "abc".
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "sparsed-qwen2-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    Write("vocab.json", Vocabulary().dump());
    Write("merges.txt", "#version: 0.2\na b\r\n\nab c\n");
    Write("tokenizer_config.json",
          R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": {"content": "<e>"},
              "additional_special_tokens": ["<m>", "<e>"],
              "added_tokens_decoder": {"300": {"content": "<e>", "special": true},
                                       "301": {"content": "<m>", "special": false},
                                       "302": {"content": "<t>", "special": false}}})");
  }
  ~Folder() { fs::remove_all(dir_); }

  static Json Vocabulary() {
    Json vocabulary;
    for (int byte = 0; byte < 256; ++byte) {
      std::string character;
      engine::AppendByteAlphabet(std::string(1, static_cast<char>(byte)), &character);
      vocabulary[character] = byte;
    }
    vocabulary["ab"] = 256;
    vocabulary["abc"] = 257;
    return vocabulary;
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  void Remove(const std::string& name) const { fs::remove_all(dir_ / name); }
  absl::StatusOr<std::unique_ptr<Tokenizer>> Load() const { return Tokenizer::Load(dir()); }
  std::string dir() const { return dir_.string(); }

 private:
  fs::path dir_;
};

Ids Encode(const Tokenizer& tokenizer, const std::string& text) {
  return Ok(tokenizer.Encode(text, Tokenizer::Special::kParse));
}

TEST_CASE("Qwen2 files: vocab.json, merges.txt and the configuration's added tokens") {
  const Folder folder;
  const auto tokenizer = Ok(folder.Load());
  CHECK(Encode(*tokenizer, "abcab<e>ab<t>") == Ids{257, 256, 300, 256, 302});
  CHECK(Encode(*tokenizer, "e\u0301") == Ids{0xC3, 0xA9});  // NFC
  CHECK(tokenizer->IsSpecial(300));
  CHECK(tokenizer->IsSpecial(301));  // by its name
  CHECK_FALSE(tokenizer->IsSpecial(302));
  CHECK(tokenizer->Describe() == "BPE from vocab.json and merges.txt, NFC, 3 added tokens");
}

TEST_CASE("Qwen2 files: added_tokens.json counts where there is no added_tokens_decoder") {
  const Folder folder;
  folder.Write("added_tokens.json", R"({"<m>": 305, "<x>": 306})");
  CHECK(Encode(*Ok(folder.Load()), "<m>") == Ids{301});
  folder.Write("tokenizer_config.json", R"({"mask_token": "<m>"})");
  const auto tokenizer = Ok(folder.Load());
  CHECK(Encode(*tokenizer, "<m><x>") == Ids{305, 306});
  CHECK(tokenizer->IsSpecial(305));
  CHECK_FALSE(tokenizer->IsSpecial(306));
  folder.Remove("tokenizer_config.json");
  CHECK(Encode(*Ok(folder.Load()), "<m>") == Ids{305});
}

TEST_CASE("Qwen2 files: a named token may be one of vocab.json") {
  const Folder folder;
  folder.Write("tokenizer_config.json", R"({"pad_token": "abc"})");
  const auto tokenizer = Ok(folder.Load());
  CHECK(tokenizer->IsSpecial(257));
  CHECK(Ok(tokenizer->Encode("abc", Tokenizer::Special::kPlain)) == Ids{257});
  CHECK(tokenizer->Find("abc") == 257);
}

TEST_CASE("tokenizer.json wins where both are there") {
  const Folder folder;
  folder.Write("tokenizer.json", SmallTokenizer().dump());
  folder.Write("vocab.json", "broken");
  folder.Write("tokenizer_config.json", "{}");
  CHECK(Encode(*Ok(folder.Load()), "abc<x>") == Ids{4, 2, 6});
  // Even where it is broken itself.
  folder.Write("vocab.json", Folder::Vocabulary().dump());
  folder.Write("tokenizer.json", "{}");
  const auto loaded = folder.Load();
  REQUIRE_FALSE(loaded.ok());
  CheckContains(std::string(loaded.status().message()), "/tokenizer.json: ");
}

TEST_CASE("Qwen2 files: what is missing is named") {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"vocab.json", "merges.txt"}, ": neither tokenizer.json nor vocab.json with merges.txt"},
      {{"vocab.json"}, ": neither tokenizer.json nor vocab.json beside merges.txt"},
      {{"merges.txt"}, ": neither tokenizer.json nor merges.txt beside vocab.json"}};
  for (const auto& [names, problem] : cases) {
    const Folder folder;
    for (const std::string& name : names) folder.Remove(name);
    const auto loaded = folder.Load();
    REQUIRE(loaded.status().code() == absl::StatusCode::kNotFound);
    CHECK(std::string(loaded.status().message()) == folder.dir() + problem);
  }
  CHECK(Tokenizer::Load("/nowhere").status().code() == absl::StatusCode::kNotFound);
}

struct Damage {
  std::string file;
  std::string text;
  std::string problem;
};

std::string VocabularyWithout(const std::string& token) {
  Json vocabulary = Folder::Vocabulary();
  vocabulary.erase(token);
  return vocabulary.dump();
}

TEST_CASE("Qwen2 files: every damage is refused with file, place and reason") {
  const std::string config = "tokenizer_config.json";
  const std::string added = "added_tokens.json";
  const Damage cases[] = {
      {"vocab.json", "", ": empty"},
      {"vocab.json", "{", ": not JSON: syntax error at byte 2"},
      {"vocab.json", "\xff", ": not UTF-8"},
      {"vocab.json", "[]", ": not an object"},
      {"vocab.json", "{}", ": empty"},
      {"vocab.json", R"({"a": 1, "a": 2})", ": key \"a\" appears twice"},
      {"vocab.json", R"({"a": -1})", ": a: not an integer in 0..4194303"},
      {"vocab.json", R"({"a": 1.5})", ": a: not an integer"},
      {"vocab.json", R"({"a": "1"})", ": a: not an integer"},
      {"vocab.json", R"({"a": 1, "b": 1})", ": b: has the id 1 of \"a\""},
      {"vocab.json", VocabularyWithout("\u0120"), ": no token \"\u0120\" for byte 0x20"},
      {"vocab.json", VocabularyWithout("\u00ff"), ": no token \"\u00ff\" for byte 0xFF"},
      {"vocab.json", VocabularyWithout("abc"), "merges.txt: line 4: \"abc\" is not in vocab.json"},
      {"merges.txt", "", ": empty"},
      {"merges.txt", "a b\nab\n", ": line 2: \"ab\" is not a pair of tokens"},
      {"merges.txt", "a b c\n", ": line 1: \"a b c\" is not a pair of tokens"},
      {"merges.txt", "a  b\n", ": line 1: \"a  b\" is not a pair of tokens"},
      {"merges.txt", "#version: 0.2\na b\nb a\n", ": line 3: \"ba\" is not in vocab.json"},
      {"merges.txt", "a b\n#version: 0.2\n", ": line 2: \"#version:\" is not in vocab.json"},
      {"merges.txt", "a b\na \xff\n", ": line 2: not valid UTF-8"},
      {config, "", ": empty"},
      {config, "7", ": not an object"},
      {config, R"({"tokenizer_class": "GPT2Tokenizer"})",
       ": tokenizer_class: \"GPT2Tokenizer\" is not implemented without tokenizer.json"},
      {config, R"({"tokenizer_class": 1})", ": tokenizer_class: not a string"},
      {config, R"({"split_special_tokens": true})", ": split_special_tokens: true is not implem"},
      {config, R"({"added_tokens_decoder": []})", ": added_tokens_decoder: not an object"},
      {config, R"({"added_tokens_decoder": {"x": {"content": "q"}}})", "decoder.x: not an id in"},
      {config, R"({"added_tokens_decoder": {"9": 1}})", ": added_tokens_decoder.9: not an object"},
      {config, R"({"added_tokens_decoder": {"9": {"content": "<q>"}}})",
       ": added_tokens_decoder: \"<q>\" with id 9: the id of \"\u0109\""},
      {config, R"({"added_tokens_decoder": {"400": {"content": "ab"}}})",
       ": \"ab\" with id 400: vocab.json gives it the id 256"},
      {config,
       R"({"added_tokens_decoder": {"400": {"content": "<q>"}, "401": {"content": "<q>"}}})",
       ": \"<q>\" with id 401: named twice"},
      {config, R"({"added_tokens_decoder": {"400": {"content": "<q>", "single_word": true}}})",
       ": added_tokens_decoder.400: single_word is not implemented without tokenizer.json"},
      {config, R"({"eos_token": "<q>"})",
       ": eos_token: \"<q>\" is no added token and not in vocab.json"},
      {config, R"({"eos_token": 3})", ": eos_token: not an object"},
      {config, R"({"eos_token": {"content": 3}})", ": eos_token.content: not a string"},
      {config, R"({"additional_special_tokens": "<q>"})",
       ": additional_special_tokens: not a list"},
      {config, R"({"additional_special_tokens": ["abc", "<q>"]})",
       ": additional_special_tokens[1]: \"<q>\" is no added token"}};
  for (const Damage& item : cases) {
    INFO(item.file << " = " << item.text.substr(0, 200));
    const Folder folder;
    folder.Write(item.file, item.text);
    const auto loaded = folder.Load();
    REQUIRE(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(loaded.status().message());
    CheckContains(message, item.problem.starts_with(":") ? folder.dir() + "/" + item.file
                                                         : folder.dir() + "/");
    CheckContains(message, item.problem);
  }
  for (const auto& [text, problem] : {std::pair<std::string, std::string>{"[]", ": not an object"},
                                      {R"({"<q>": "1"})", ": <q>: not an integer"},
                                      {R"({"<q>": 0})", ": \"<q>\" with id 0: the id of"},
                                      {"{", ": not JSON"}}) {
    INFO(text);
    const Folder folder;
    folder.Write(config, "{}");
    folder.Write(added, text);
    const auto loaded = folder.Load();
    REQUIRE(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    CheckContains(std::string(loaded.status().message()), folder.dir() + "/" + added + problem);
  }
}

TEST_CASE("a folder in place of a file is refused") {
  const Folder folder;
  folder.Remove("merges.txt");
  fs::create_directory(folder.dir() + "/merges.txt");
  const auto loaded = folder.Load();
  REQUIRE_FALSE(loaded.ok());
  CHECK(std::string(loaded.status().message()) == folder.dir() + "/merges.txt: not a regular file");
}

}  // namespace
}  // namespace sparsed::testing
