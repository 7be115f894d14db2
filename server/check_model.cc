#include "server/check_model.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/report_lines.h"

namespace sparsed::server {
namespace {

// So many tensor names are printed; the rest is a number.
constexpr size_t kNamesShown = 20;

// 5 "<|mask|>"
std::string TokenName(const engine::TokenText& token) {
  if (token.text.empty()) return absl::StrCat(token.id, " (no text)");
  return absl::StrCat(token.id, " \"", absl::Utf8SafeCEscape(token.text), "\"");
}

void AddInfo(const engine::ModelInfo& info, ReportLines& lines) {
  lines.Add("family", info.family);
  if (info.parameters > 0) lines.Add("parameters", info.parameters);
  lines.Add("layers", info.num_layers);
  lines.Add("hidden size", info.hidden_size);
  lines.Add("heads", info.num_heads, ", of keys and values ", info.num_kv_heads, ", of size ",
            info.head_dim);
  lines.Add("feed-forward size", info.ffn_size);
  lines.Add("vocabulary", info.vocab_size, " rows");
  lines.Add("context", info.max_tokens, " tokens");
}

void AddDefaults(const engine::ModelInfo& info, const engine::GenerationConfig& generation,
                 ReportLines& lines) {
  const engine::SamplingDefaults& defaults = info.defaults;
  lines.Add("default remasking", engine::RemaskingName(defaults.remasking));
  lines.Add("default temperature", defaults.temperature);
  if (engine::IsDreamRule(defaults.remasking)) {
    lines.Add("default top_p, top_k", defaults.top_p, ", ", defaults.top_k);
    lines.Add("default algorithm temperature", defaults.algorithm_temperature);
  }
  if (generation.steps) lines.Add("suggested, not used", "steps ", *generation.steps);
}

void AddNames(const char* title, const std::vector<std::string>& names, ReportLines& lines) {
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    lines.Add(title, absl::Utf8SafeCEscape(names[i]));
  }
  if (names.size() > kNamesShown) lines.Add(title, "and ", names.size() - kNamesShown, " more");
}

void AddDevice(const engine::DeviceNeeds& needs, int64_t max_batch_tokens, ReportLines& lines) {
  const std::string on = absl::StrCat("memory on ", DeviceText(needs));
  if (!needs.error.empty()) {
    lines.Add(on, "cannot be served there: ", needs.error);
    return;
  }
  lines.Add(on, SizeText(needs.weights_bytes + needs.workspace_bytes), ": weights ",
            SizeText(needs.weights_bytes), ", steps of up to ", max_batch_tokens, " tokens ",
            SizeText(needs.workspace_bytes));
  std::vector<std::string> patterns;
  for (const auto& [tokens, bytes] : needs.patterns) {
    patterns.push_back(absl::StrCat(tokens, " tokens ", SizeText(bytes)));
  }
  lines.Add("and a sparse request of", absl::StrJoin(patterns, ", "));
}

}  // namespace

std::string ReportText(const std::string& dir, const engine::ModelReport& report,
                       int64_t max_batch_tokens) {
  ReportLines lines;
  lines.Add("folder", dir);
  if (!report.architectures.empty()) {
    lines.Add("architecture", absl::Utf8SafeCEscape(absl::StrJoin(report.architectures, ", ")));
  }
  if (report.info) AddInfo(*report.info, lines);
  if (!report.tokenizer.empty()) {
    lines.Add("tokenizer", report.tokenizer, ", ", report.tokenizer_ids, " ids");
  }
  if (report.info) {
    std::vector<std::string> ends;
    for (const engine::TokenText& token : report.end_tokens) ends.push_back(TokenName(token));
    lines.Add("mask token", TokenName(report.mask_token));
    lines.Add("end tokens", absl::StrJoin(ends, ", "));
  }
  lines.Add("chat template", report.has_chat_template ? "yes" : "no");
  if (report.info) AddDefaults(*report.info, report.generation, lines);
  if (report.tensors_found > 0) {
    lines.Add("tensors", report.tensors_found, " of ", report.tensor_dtype, ", ",
              SizeText(report.tensor_bytes), "; ", report.missing_tensors.size(), " missing, ",
              report.extra_tensors.size(), " not of the model");
  }
  AddNames("missing", report.missing_tensors, lines);
  AddNames("not of the model", report.extra_tensors, lines);
  for (const engine::DeviceNeeds& needs : report.devices) {
    AddDevice(needs, max_batch_tokens, lines);
  }
  return lines.Text();
}

int CheckModel(const std::string& dir, const Config& config) {
  const engine::ModelReport report =
      engine::CheckModelFolder(dir, {config.max_batch_tokens, config.max_running_tokens});
  std::fputs(ReportText(dir, report, config.max_batch_tokens).c_str(), stdout);
  std::fflush(stdout);
  for (const std::string& problem : report.problems) {
    std::fprintf(stderr, "sparsed: %s\n", problem.c_str());
  }
  return report.problems.empty() ? 0 : 2;
}

}  // namespace sparsed::server
