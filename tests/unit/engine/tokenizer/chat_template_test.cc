#include "engine/tokenizer/chat_template.h"

#include <algorithm>
#include <filesystem>

#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::ChatMessage;
using engine::ChatTemplate;
using engine::Tokenizer;

std::string ParseError(const std::string& source) {
  const auto parsed = ChatTemplate::Parse(source, "<s>", "</s>");
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(parsed.status().message());
}

TEST_CASE("templates render as Jinja2 renders them") {
  const nlohmann::json golden =
      ParseJsonText(ReadWholeFile(SourcePath("tests/golden/tokenizer/templates.json")));
  REQUIRE(golden["templates"].size() >= 20);
  for (const nlohmann::json& item : golden["templates"]) {
    INFO("template " << item["name"]);
    const auto chat_template = Ok(ChatTemplate::Parse(item["template"].get<std::string>(),
                                                      "<|startoftext|>", "<|endoftext|>"));
    REQUIRE(item["renderings"].size() == golden["conversations"].size());
    for (size_t i = 0; i < golden["conversations"].size(); ++i) {
      INFO("conversation " << i);
      std::vector<ChatMessage> messages;
      for (const nlohmann::json& message : golden["conversations"][i]) {
        messages.push_back(
            {message["role"].get<std::string>(), message["content"].get<std::string>()});
      }
      const auto rendered = chat_template->Render(messages);
      const nlohmann::json& expected = item["renderings"][i];
      INFO(rendered.status().ToString());
      REQUIRE(rendered.ok() != expected.is_null());
      if (rendered.ok()) {
        CHECK(*rendered == expected.get<std::string>());
      } else {
        CHECK(rendered.status().code() == absl::StatusCode::kInvalidArgument);
      }
    }
  }
}

TEST_CASE("unknown and malformed constructs are errors with their line") {
  const std::pair<std::string, std::string> cases[] = {
      {"a\n{% macro f() %}{% endmacro %}", "line 2: the tag macro is not implemented"},
      {"{% raw %}x{% endraw %}", "the tag raw"},
      {"{% set x %}a{% endset %}", "\"=\" expected"},
      {"{% for a, b in x %}{% endfor %}", "\"in\" expected"},
      {"{% for a in x if a %}{% endfor %}", "\"%}\" expected at \"if\""},
      {"\n\n{{ x | upper }}", "line 3: the filter upper is not implemented"},
      {"{{ x | trim('a') }}", "the filter trim with 1 arguments"},
      {"{{ x is divisibleby(3) }}", "the test divisibleby"},
      {"{{ strftime_now('%Y') }}", "the function strftime_now"},
      {"{{ x.format(1) }}", "the method format"},
      {"{{ loop.depth }}", "loop.depth"},
      {"{{ x.split() }}", "the method split with 0 arguments"},
      {"{{ 1.5 }}", "no integer"},
      {"{{ 1 / 2 }}", "\"/\" is not implemented"},
      {"{{ {'a': 1} }}", "\"{\" is not implemented"},
      {"{{ 1 < 2 < 3 }}", "chained comparisons"},
      {"{{ x", "{{ without }}"},
      {"{% if x", "{% without %}"},
      {"{% if x %}", "if without endif"},
      {"{% for a in x %}", "for without endfor"},
      {"{% if x %}{% endfor %}", "unexpected tag endfor"},
      {"{% if x %}{% else %}{% elif y %}{% endif %}", "unexpected tag elif"},
      {"{% endif %}", "unexpected tag endif"},
      {"{% else %}", "unexpected tag else"},
      {"{# x", "a comment without end"},
      {"{{ 'x }}", "a string without end"},
      {"{{ '\\N{DASH}' }}", "\\N"},
      {"{{ '\\ud800' }}", "no character"},
      {"{{ '\\xg' }}", "malformed escape"},
      {"{{ }}", "an expression expected"},
      {"{{ a b }}", "\"}}\" expected"},
      {"{{ (1 }}", "expected"},
      {"{{ 1) }}", "unexpected \")\""},
      {"{{ x[] }}", "empty subscript"},
      {"{{ x[1:2:3:4] }}", "slice"},
      {"{{ if }}", "a name expected"},
      {"{% %}", "the name of a tag expected"},
      {"{{ " + std::string(1000, '(') + std::string(1000, ')') + " }}", "nested too deep"},
      {"{{ " + std::string(1000, '[') + std::string(1000, ']') + " }}", "nested too deep"},
      {"{{ " + std::string(1000, '-') + "1 }}", "nested too deep"},
      {"\xff", "not valid UTF-8"}};
  for (const auto& [source, problem] : cases) {
    INFO(source);
    CheckContains(ParseError(source), problem);
  }
  std::string sum = "{{ 1";
  for (int i = 0; i < 1000; ++i) sum += " + 1";
  CheckContains(ParseError(sum + " }}"), "nested too deep");
  std::string ifs;
  for (int i = 0; i < 1000; ++i) ifs += "{% if 1 %}";
  CheckContains(ParseError(ifs), "nested too deep");
}

TEST_CASE("rendering refuses what Jinja2 raises for, and messages that are not UTF-8") {
  const std::pair<std::string, std::string> cases[] = {
      {"{{ messages }}", "output of list"},
      {"{{ 1 // 0 }}", "out of range"},
      {"{{ messages[0] + 1 }}", "+ of mapping and integer"},
      {"\n{{ raise_exception('no') }}", "line 2: no"},
      {"{% set messages.x = 1 %}", "not a namespace"},
      {"{% set n = namespace() %}{% set n.x = n %}", "list or mapping in a namespace"},
      {"{% set n = namespace(s='aaaaaaaa') %}" +
           [] {
             std::string doubling;
             for (int i = 0; i < 40; ++i) doubling += "{% set n.s = n.s + n.s %}";
             return doubling;
           }(),
       "more than 67108864 bytes"}};
  for (const auto& [source, problem] : cases) {
    INFO(source);
    const auto rendered = Ok(ChatTemplate::Parse(source, "", ""))->Render({{"user", "x"}});
    REQUIRE_FALSE(rendered.ok());
    CheckContains(std::string(rendered.status().message()), problem);
  }
  const auto plain = Ok(ChatTemplate::Parse("{{ messages[0].content }}", "", ""));
  CHECK(plain->Render({{"user", "\xff"}}).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(plain->Render({{"\xc3", "x"}}).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("text of a message stays plain through every operation") {
  const auto tokenizer = Ok(Tokenizer::Load(NanoDir()));
  const std::string eot = "<|eot_id|>";
  for (const std::string expression :
       {"m.content", "m['content'] | trim", "'a' + m.content + 'b'", "'' ~ m.content",
        "m.content[:]", "m.content.strip()", "m.content.split('#')[0]", "m.content | tojson",
        "[m.content][0]", "m.content if true else ''", "(m.content | default('x')).lstrip('z')",
        "m.role", "x", "m.content[0:5] + m.content[5:]"}) {
    INFO(expression);
    const auto chat_template =
        Ok(ChatTemplate::Parse("{% for m in messages %}{% set x = m.content %}{{ " +
                                   std::string(expression) + " }}{{ '" + eot + "' }}{% endfor %}",
                               "", ""));
    const auto ids = Ok(chat_template->Encode({{eot, eot}, {eot, eot}}, *tokenizer));
    CHECK(std::count(ids.begin(), ids.end(), 4) == 2);
    CHECK(ids.back() == 4);
    CHECK(tokenizer->Decode(ids, true) == Ok(chat_template->Render({{eot, eot}, {eot, eot}})));
  }
  // A special token in the template's own words, put together from pieces, is one.
  const auto joined = Ok(ChatTemplate::Parse("{{ '<|eot' + '_id|>' }}", "", ""));
  CHECK(Ok(joined->Encode({}, *tokenizer)) == std::vector<int32_t>{4});
  // One that only a message completes is not.
  const auto completed = Ok(ChatTemplate::Parse("<|eot{{ messages[0].content }}|>", "", ""));
  const auto ids = Ok(completed->Encode({{"user", "_id"}}, *tokenizer));
  CHECK(std::count(ids.begin(), ids.end(), 4) == 0);
}

TEST_CASE("Load finds the template in either file and names what is missing") {
  namespace fs = std::filesystem;
  const fs::path dir = fs::temp_directory_path() / "sparsed_chat_template_test";
  const auto with = [&](const std::string& config, const std::string& jinja) {
    fs::remove_all(dir);
    fs::create_directories(dir);
    if (!config.empty()) std::ofstream(dir / "tokenizer_config.json") << config;
    if (!jinja.empty()) std::ofstream(dir / "chat_template.jinja") << jinja;
    return ChatTemplate::Load(dir.string());
  };
  const auto render = [&](const std::string& config, const std::string& jinja) {
    return Ok(Ok(with(config, jinja))->Render({{"user", "x"}}));
  };
  CHECK(render(R"({"chat_template": "a{{ bos_token }}", "bos_token": "<s>"})", "") == "a<s>");
  CHECK(render(R"({"chat_template": "a", "eos_token": {"content": "</s>"}})", "b{{ eos_token }}") ==
        "b</s>");
  CHECK(render(R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                     {"name": "default", "template": "d"}]})",
               "") == "d");
  CHECK(render("", "{{ messages[0].role }}{{ bos_token }}") == "user");
  CHECK(with("{}", "").status().code() == absl::StatusCode::kNotFound);
  CHECK(with("", "").status().code() == absl::StatusCode::kNotFound);
  for (const std::string config :
       {"{", "[]", R"({"chat_template": 1})", R"({"chat_template": [1]})",
        R"({"chat_template": [{"name": "x", "template": "t"}]})", R"({"chat_template": "{% x %}"})",
        R"({"chat_template": "a", "bos_token": 1})"}) {
    INFO(config);
    const auto loaded = with(config, "");
    CHECK(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    CheckContains(std::string(loaded.status().message()), dir.string());
  }
  fs::remove_all(dir);
}

}  // namespace
}  // namespace sparsed::testing
