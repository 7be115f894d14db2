// What a tokenizer.json may not say, and how the refusal names it.
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::Tokenizer;
using Json = nlohmann::json;

struct Case {
  std::string pointer;  // RFC 6901
  std::string value;    // JSON; empty: the member is removed
  std::string problem;
};

const Case kRefused[] = {
    {"", "[]", "tokenizer.json: not an object"},
    {"/version", "\"2.0\"", "tokenizer.json: version"},
    {"/extra", "1", "tokenizer.json: extra: not a known option"},
    {"/normalizer", "{\"type\":\"Lowercase\"}", "tokenizer.json: normalizer.type: \"Lowercase\""},
    {"/normalizer", "{\"type\":\"NFKC\"}", "normalizer.type: \"NFKC\" is not implemented"},
    {"/normalizer", "7", "normalizer: not an object"},
    {"/normalizer", "{\"type\":\"NFC\",\"x\":1}", "normalizer.x: not a known option"},
    {"/normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"}]}",
     "normalizer.normalizers[0].type: \"Strip\""},
    {"/normalizer", "{\"type\":\"Sequence\"}", "normalizer.normalizers: not a list"},
    {"/pre_tokenizer", "null", "pre_tokenizer: has no ByteLevel step"},
    {"/pre_tokenizer", "{\"type\":\"Digits\"}", "pre_tokenizer: has no ByteLevel step"},
    {"/pre_tokenizer", "{\"type\":\"Metaspace\"}", "pre_tokenizer.type: \"Metaspace\""},
    {"/pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"",
     "pre_tokenizer.pretokenizers[0].behavior: \"Removed\" is not implemented"},
    {"/pre_tokenizer/pretokenizers/0/behavior", "", "pretokenizers[0].behavior"},
    {"/pre_tokenizer/pretokenizers/0/pattern", "", "pretokenizers[0].pattern: missing"},
    {"/pre_tokenizer/pretokenizers/0/pattern", "{}", "pattern: neither a Regex nor a String"},
    {"/pre_tokenizer/pretokenizers/0/pattern", "{\"Regex\":\"a\",\"String\":\"a\"}", "neither"},
    {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "3", "pattern.Regex: not a string"},
    {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(a\"", "pattern.Regex: regular expression"},
    {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"\\\\bx\"",
     "\"\\b\" at byte 0 is not implemented"},
    {"/pre_tokenizer/pretokenizers/1/individual_digits", "1",
     "individual_digits: not true or false"},
    {"/pre_tokenizer/pretokenizers/2/use_regex", "\"yes\"", "use_regex: not true or false"},
    {"/pre_tokenizer/pretokenizers/2/other", "1", "pretokenizers[2].other: not a known option"},
    {"/pre_tokenizer/pretokenizers", "7", "pretokenizers: not a list"},
    {"/post_processor", "{\"type\":\"BertProcessing\"}", "post_processor.type: \"BertProcessing\""},
    {"/decoder", "null", "decoder: has no ByteLevel step"},
    {"/decoder", "{\"type\":\"WordPiece\"}", "decoder.type: \"WordPiece\""},
    {"/model", "", "tokenizer.json: model: missing"},
    {"/model", "[]", "tokenizer.json: model: not an object"},
    {"/model/type", "\"Unigram\"", "model.type: \"Unigram\" is not implemented"},
    {"/model/dropout", "0.1", "model.dropout: is not implemented"},
    {"/model/dropout", "\"x\"", "model.dropout"},
    {"/model/unk_token", "3", "model.unk_token: not a string"},
    {"/model/unk_token", "\"zz\"", "model.unk_token: \"zz\" is not in vocab"},
    {"/model/fuse_unk", "0", "model.fuse_unk: not true or false"},
    {"/model/continuing_subword_prefix", "\"##\"", "merges[0]: \"b\" is shorter"},
    {"/model/other", "1", "model.other: not a known option"},
    {"/model/vocab", "", "model.vocab: missing"},
    {"/model/vocab", "[]", "model.vocab: not an object"},
    {"/model/vocab", "{}", "model.vocab: empty"},
    {"/model/vocab/a", "-1", "model.vocab.a: not an integer in 0..4194303"},
    {"/model/vocab/a", "1.5", "model.vocab.a: not an integer"},
    {"/model/vocab/a", "4194304", "model.vocab.a: not an integer in 0..4194303"},
    {"/model/vocab/a", "99999999999999999999", "model.vocab.a: not an integer"},
    {"/model/vocab/a", "\"0\"", "model.vocab.a: not an integer"},
    {"/model/vocab/c", "0", "has the id 0 of \""},
    {"/model/merges", "", "model.merges: missing"},
    {"/model/merges", "{}", "model.merges: not a list"},
    {"/model/merges/0", "\"a\"", "model.merges[0]: neither \"a b\" nor a pair"},
    {"/model/merges/0", "\"a b c\"", "model.merges[0]: neither"},
    {"/model/merges/0", "[\"a\"]", "model.merges[0]: neither"},
    {"/model/merges/1", "[\"a\",1]", "model.merges[1]: neither"},
    {"/model/merges/0", "\"a z\"", "model.merges[0]: \"z\" is not in vocab"},
    {"/model/merges/0", "\"b a\"", "model.merges[0]: \"ba\" is not in vocab"},
    {"/added_tokens", "{}", "added_tokens: not a list"},
    {"/added_tokens/0", "1", "added_tokens[0]: not an object"},
    {"/added_tokens/0/id", "", "added_tokens[0].id: missing"},
    {"/added_tokens/0/id", "-3", "added_tokens[0].id: not an integer"},
    {"/added_tokens/0/id", "2", "added_tokens[0]: \"<x>\" with id 2: the id of \"c\""},
    {"/added_tokens/1/id", "6", "added_tokens[1]: \"<y>\" with id 6: the id of \"<x>\""},
    {"/added_tokens/1/content", "\"<x>\"", "added_tokens[1]: \"<x>\" with id 7: named twice"},
    {"/added_tokens/1/content", "\"ab\"", "\"ab\" with id 7: model.vocab gives it the id 4"},
    {"/added_tokens/1/content", "5", "added_tokens[1].content: not a string"},
    {"/added_tokens/1/lstrip", "\"no\"", "added_tokens[1].lstrip: not true or false"}};

TEST_CASE("a tokenizer.json that cannot be followed is refused by name") {
  REQUIRE(Tokenizer::Parse(SmallTokenizer().dump(), "").ok());
  for (const Case& item : kRefused) {
    INFO(item.pointer << " = " << item.value);
    Json file = SmallTokenizer();
    const Json::json_pointer pointer(item.pointer);
    if (item.value.empty()) {
      file[pointer.parent_pointer()].erase(pointer.back());
    } else {
      file[pointer] = ParseJsonText(item.value);
    }
    const auto tokenizer = Tokenizer::Parse(file.dump(), "");
    REQUIRE_FALSE(tokenizer.ok());
    CHECK(tokenizer.status().code() == absl::StatusCode::kInvalidArgument);
    CheckContains(std::string(tokenizer.status().message()), item.problem);
  }
}

TEST_CASE("what is harmless is accepted") {
  const std::pair<std::string, std::string> accepted[] = {
      {"/truncation", "{\"max_length\":2,\"strategy\":\"LongestFirst\",\"stride\":0}"},
      {"/padding", "{\"strategy\":\"BatchLongest\"}"},
      {"/post_processor", "{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}"},
      {"/post_processor", "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}]}"},
      {"/decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"}]}"},
      {"/model/dropout", "0.0"},
      {"/added_tokens", "null"},
      {"/added_tokens/0", "{\"id\":5,\"content\":\"abc\"}"}};
  for (const auto& [pointer, value] : accepted) {
    INFO(pointer << " = " << value);
    Json file = SmallTokenizer();
    file[Json::json_pointer(pointer)] = ParseJsonText(value);
    const auto tokenizer = Ok(Tokenizer::Parse(file.dump(), ""));
    CHECK(Ok(tokenizer->Encode("abab c", Tokenizer::Special::kParse)) ==
          std::vector<int32_t>{4, 4, 3, 2});
  }
}

TEST_CASE("broken JSON is refused") {
  const std::string valid = SmallTokenizer().dump();
  for (size_t size = 0; size < valid.size(); size += 7) {
    CHECK_FALSE(Tokenizer::Parse(valid.substr(0, size), "").ok());
  }
  CHECK_FALSE(Tokenizer::Parse("\xff", "").ok());
  std::string deep(100000, '[');
  CHECK_FALSE(Tokenizer::Parse(deep, "").ok());
  Json sequence = ParseJsonText(R"({"type": "NFC"})");
  for (int i = 0; i < 20; ++i) sequence = {{"type", "Sequence"}, {"normalizers", {sequence}}};
  Json file = SmallTokenizer();
  file["normalizer"] = sequence;
  const auto nested = Tokenizer::Parse(file.dump(), "");
  REQUIRE_FALSE(nested.ok());
  CheckContains(std::string(nested.status().message()), "nested too deep");
}

TEST_CASE("tokenizer_config.json may add tokens") {
  const std::string file = SmallTokenizer().dump();
  const auto tokenizer = Ok(
      Tokenizer::Parse(file, R"({"added_tokens_decoder": {"9": {"content": "<z>", "special": true},
                                         "7": {"content": "<y>", "special": true}}})"));
  CHECK(tokenizer->vocab_size() == 10);
  CHECK(tokenizer->IsSpecial(9));
  CHECK_FALSE(tokenizer->IsSpecial(7));  // tokenizer.json comes first
  CHECK(tokenizer->Bytes(8, true).empty());
  CHECK(Ok(tokenizer->Encode("a<z>", Tokenizer::Special::kParse)) == std::vector<int32_t>{0, 9});
  const std::pair<std::string, std::string> refused[] = {
      {"[", "tokenizer_config.json: not JSON: syntax error"},
      {"[]", "tokenizer_config.json: not an object"},
      {R"({"added_tokens_decoder": []})", "added_tokens_decoder: not an object"},
      {R"({"added_tokens_decoder": {"x": {"content": "q"}}})", "added_tokens_decoder.x: not an id"},
      {R"({"added_tokens_decoder": {"4194304": {"content": "q"}}})", "not an id in 0..4194303"},
      {R"({"added_tokens_decoder": {"3": {"content": "q"}}})", "\"q\" with id 3: the id of"},
      {R"({"added_tokens_decoder": {"9": 1}})", "added_tokens_decoder.9: not an object"}};
  for (const auto& [config, problem] : refused) {
    INFO(config);
    const auto parsed = Tokenizer::Parse(file, config);
    REQUIRE_FALSE(parsed.ok());
    CheckContains(std::string(parsed.status().message()), problem);
  }
}

}  // namespace
}  // namespace sparsed::testing
