// The table of settings as documentation.
#include <string>

#include "absl/strings/str_cat.h"
#include "server/options.h"

namespace sparsed::server {
namespace {

constexpr char kHead[] =
    R"(# Settings

Every setting of `sparsed serve` is a flag, an environment variable and a key of the file that
`--config FILE` names: `--queue-requests 64`, `SPARSED_QUEUE_REQUESTS=64`, `{"queue_requests": 64}`.
The flag goes before the variable, the variable before the file, the file before the default. An
empty variable counts as none. A key that is not listed here is an error that names it.

`--print-config` prints what applies and where each value comes from, without the paths of secrets;
`--check-config` checks everything, the files that are named included, and exits 0, or 2 with all
that is wrong. A switch is turned off with `--no-` before its name or `=false` after it. SIGHUP reads
the log level and the tokens again; certificates and tokens are also read again when their files
change.

This page is what `sparsed options` prints; `sparsed options --schema` prints a JSON schema of the
file.
)";

std::string Default(const Option& option) {
  const std::string text = option.default_text();
  return text.empty() ? "" : absl::StrCat("`", text, "`");
}

const char* SchemaType(Option::Kind kind) {
  switch (kind) {
    case Option::Kind::kText:
      return "string";
    case Option::Kind::kInteger:
      return "integer";
    case Option::Kind::kNumber:
      return "number";
    case Option::Kind::kSwitch:
      return "boolean";
  }
  return "string";
}

}  // namespace

std::string OptionsMarkdown() {
  std::string page = kHead;
  std::string group;
  for (const Option& option : Options()) {
    if (option.group != group) {
      group = option.group;
      absl::StrAppend(&page, "\n## ", group,
                      "\n\n| flag | values | default | |\n|---|---|---|---|\n");
    }
    absl::StrAppend(&page, "| `", option.flag(), "` | ", option.values, " | ", Default(option),
                    " | ", option.help, " |\n");
  }
  return page;
}

std::string OptionsSchema() {
  nlohmann::ordered_json properties = nlohmann::ordered_json::object();
  for (const Option& option : Options()) {
    properties[option.file_key()] = {
        {"type", SchemaType(option.kind)},
        {"description", absl::StrCat(option.help, " (", option.values, ")")},
        {"default", option.get(Config())}};
  }
  const nlohmann::ordered_json schema = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "sparsed serve --config"},
      {"type", "object"},
      {"additionalProperties", false},
      {"properties", properties}};
  return schema.dump(2) + "\n";
}

}  // namespace sparsed::server
