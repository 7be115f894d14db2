#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/eval_results.h"
#include "clients/cpp/table.h"

namespace sparsed::clients {
namespace {

std::string Percent(const Score& score) {
  if (score.total == 0) return "";
  return absl::StrFormat("%.1f%% %3d/%d", 100.0 * score.correct / score.total, score.correct,
                         score.total);
}

// One row: a name, a score for each length where there is one, and the score over all lengths.
std::vector<std::string> Row(const std::string& name, const std::vector<uint32_t>& lengths,
                             const std::map<uint32_t, Score>& scores) {
  std::vector<std::string> row = {name};
  Score all;
  for (const uint32_t length : lengths) {
    const auto found = scores.find(length);
    row.push_back(found == scores.end() ? "-" : Percent(found->second));
    if (found == scores.end()) continue;
    all.correct += found->second.correct;
    all.total += found->second.total;
  }
  row.push_back(Percent(all));
  return row;
}

}  // namespace

std::string RenderEvalTable(const EvalSummary& summary) {
  std::vector<uint32_t> lengths;
  for (const auto& [length, unused] : summary.by_length) lengths.push_back(length);
  std::map<std::string, std::map<uint32_t, Score>> tasks;
  for (const auto& [key, score] : summary.by_task_and_length) tasks[key.first][key.second] = score;

  std::vector<std::vector<std::string>> rows = {{"task"}};
  std::vector<size_t> right;
  for (const uint32_t length : lengths) rows[0].push_back(absl::StrCat(length, " tokens"));
  rows[0].push_back("all");
  for (size_t column = 1; column < rows[0].size(); ++column) right.push_back(column);
  for (const auto& [task, scores] : tasks) rows.push_back(Row(task, lengths, scores));
  rows.push_back({});
  if (summary.aggregation.total > 0 && summary.others.total > 0) {
    rows.push_back(Row("cwe + fwe", lengths, summary.aggregation_by_length));
    rows.push_back(Row("all but these", lengths, summary.others_by_length));
  }
  rows.push_back(Row("all", lengths, summary.by_length));
  return RenderTable(rows, right);
}

}  // namespace sparsed::clients
