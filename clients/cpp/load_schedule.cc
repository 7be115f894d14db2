#include "clients/cpp/load_schedule.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace sparsed::clients {
namespace {

const std::map<std::string, v1::SparseMode> kSparseModes = {{"auto", v1::SPARSE_MODE_AUTO},
                                                            {"off", v1::SPARSE_MODE_OFF},
                                                            {"sparsed", v1::SPARSE_MODE_SPARSED}};

absl::Status Wrong(const std::string& field, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::Status SetCount(const std::string& field, const nlohmann::json& value, uint32_t* out) {
  constexpr int64_t kMost = 1 << 24;
  if (!value.is_number_integer() || value < 1 || value > kMost) {
    return Wrong(field, absl::StrCat("is not an integer from 1 to ", kMost));
  }
  *out = value;
  return absl::OkStatus();
}

absl::Status SetField(const std::string& field, const nlohmann::json& value, LoadKind& kind) {
  if (field == "prompt_tokens") return SetCount(field, value, &kind.prompt_tokens);
  if (field == "gen_length") return SetCount(field, value, &kind.gen_length);
  if (field == "steps") return SetCount(field, value, &kind.steps);
  if (field == "name") {
    if (!value.is_string()) return Wrong(field, "is not a string");
    kind.name = value;
  } else if (field == "weight") {
    if (!value.is_number() || !(value > 0)) return Wrong(field, "is not a positive number");
    kind.weight = value;
  } else if (field == "sparse") {
    const auto mode = value.is_string() ? kSparseModes.find(value) : kSparseModes.end();
    if (mode == kSparseModes.end()) return Wrong(field, "is not auto, off or sparsed");
    kind.sparse = mode->second;
  } else if (field == "priority") {
    if (!value.is_number_integer()) return Wrong(field, "is not an integer");
    kind.priority = value;
  } else {
    return Wrong(field, "is not known");
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadKind> ParseKind(const std::string& line) {
  const nlohmann::json fields = nlohmann::json::parse(line, nullptr, false);
  if (!fields.is_object()) return absl::InvalidArgumentError("is not a JSON object");
  LoadKind kind;
  for (const auto& [field, value] : fields.items()) {
    const absl::Status status = SetField(field, value, kind);
    if (!status.ok()) return status;
  }
  if (kind.name.empty()) kind.name = absl::StrCat(kind.prompt_tokens, "+", kind.gen_length);
  return kind;
}

}  // namespace

absl::StatusOr<std::vector<LoadKind>> LoadMix(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  std::stringstream text;
  text << file.rdbuf();
  return ParseMix(text.str(), path);
}

absl::StatusOr<std::vector<LoadKind>> ParseMix(const std::string& text, const std::string& path) {
  std::vector<LoadKind> mix;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    absl::StatusOr<LoadKind> kind = ParseKind(line);
    if (!kind.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": ", kind.status().message()));
    }
    mix.push_back(*std::move(kind));
  }
  if (mix.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": holds no kind"));
  return mix;
}

std::vector<LoadArrival> MakeSchedule(double rate, double seconds, Arrivals arrivals,
                                      const std::vector<LoadKind>& mix, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> weights;
  for (const LoadKind& kind : mix) weights.push_back(kind.weight);
  std::discrete_distribution<size_t> pick(weights.begin(), weights.end());
  std::exponential_distribution<double> gap(rate);
  std::vector<LoadArrival> schedule;
  double at = arrivals == Arrivals::kFixed ? 0 : gap(random);
  while (at < seconds) {
    schedule.push_back({at, pick(random)});
    at = arrivals == Arrivals::kFixed ? static_cast<double>(schedule.size()) / rate
                                      : at + gap(random);
  }
  return schedule;
}

}  // namespace sparsed::clients
