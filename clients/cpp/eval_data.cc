#include "clients/cpp/eval_data.h"

#include <zlib.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sparsed::clients {
namespace {

using nlohmann::json;

absl::StatusOr<std::string> ReadMaybeCompressed(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  std::string content;
  std::vector<char> buffer(1 << 16);
  int read = 0;
  while ((read = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    content.append(buffer.data(), static_cast<size_t>(read));
  }
  // gzclose reports a stream that ends too early.
  const int closed = gzclose(file);
  if (read < 0 || closed != Z_OK) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": damaged or unreadable"));
  }
  return content;
}

bool GetString(const json& record, const char* field, std::string* value) {
  const auto found = record.find(field);
  if (found == record.end() || !found->is_string()) return false;
  *value = found->get<std::string>();
  return true;
}

bool GetUint(const json& value, uint32_t* number) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT32_MAX) return false;
  *number = value.get<uint32_t>();
  return true;
}

bool GetUint(const json& record, const char* field, uint32_t* number) {
  const auto found = record.find(field);
  return found != record.end() && GetUint(*found, number) && *number > 0;
}

bool GetChecker(const json& record, Checker* checker) {
  std::string name;
  if (!GetString(record, "checker", &name)) return false;
  static const std::pair<const char*, Checker> kNames[] = {
      {"exact", Checker::kExact}, {"list", Checker::kList}, {"set", Checker::kSet}};
  for (const auto& [known, value] : kNames) {
    if (name != known) continue;
    *checker = value;
    return true;
  }
  return false;
}

bool GetIds(const json& record, std::vector<uint32_t>* ids) {
  const auto found = record.find("prompt_ids");
  if (found == record.end() || !found->is_array() || found->empty()) return false;
  for (const json& id : *found) {
    uint32_t value = 0;
    if (!GetUint(id, &value)) return false;
    ids->push_back(value);
  }
  return true;
}

// The first field that is missing or wrong; none if the record is complete.
const char* ParseRecord(const std::string& line, EvalExample* example) {
  const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return "JSON object";
  if (!GetString(record, "id", &example->id) || example->id.empty()) return "id";
  if (!GetString(record, "task", &example->task)) return "task";
  if (!GetUint(record, "length", &example->length)) return "length";
  if (!GetUint(record, "gen_length", &example->gen_length)) return "gen_length";
  if (!GetIds(record, &example->prompt_ids)) return "prompt_ids";
  if (!GetString(record, "answer", &example->answer)) return "answer";
  if (!GetChecker(record, &example->checker)) return "checker";
  return nullptr;
}

}  // namespace

absl::StatusOr<EvalData> LoadEvalData(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadMaybeCompressed(path);
  if (!content.ok()) return content.status();
  EvalData data;
  data.crc32 = absl::StrFormat("%08x", crc32(0, reinterpret_cast<const Bytef*>(content->data()),
                                             static_cast<uInt>(content->size())));
  std::set<std::string> ids;
  size_t line_number = 0;
  for (size_t begin = 0; begin < content->size();) {
    const size_t end = std::min(content->find('\n', begin), content->size());
    const std::string line = content->substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    EvalExample example;
    if (const char* missing = ParseRecord(line, &example)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line_number, ": no valid ", missing));
    }
    if (!ids.insert(example.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line_number, ": id ", example.id, " comes twice"));
    }
    data.examples.push_back(std::move(example));
  }
  if (data.examples.empty()) return absl::InvalidArgumentError(path + ": no records");
  return data;
}

std::vector<size_t> Select(const std::vector<EvalExample>& examples,
                           const EvalSelection& selection) {
  const auto wanted = [](const auto& list, const auto& value) {
    return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
  };
  std::map<std::pair<std::string, uint32_t>, uint32_t> taken;
  std::vector<size_t> chosen;
  for (size_t i = 0; i < examples.size(); ++i) {
    const EvalExample& example = examples[i];
    if (!wanted(selection.tasks, example.task)) continue;
    if (!wanted(selection.lengths, example.length)) continue;
    uint32_t& count = taken[{example.task, example.length}];
    if (selection.limit > 0 && count == selection.limit) continue;
    ++count;
    chosen.push_back(i);
  }
  return chosen;
}

}  // namespace sparsed::clients
