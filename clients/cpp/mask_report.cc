#include "clients/cpp/mask_report.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "clients/cpp/json_output.h"

namespace sparsed::clients {
namespace {

constexpr uint32_t kMaxBlocks = 1024;  // that a server inspects

size_t RowBytes(uint32_t blocks) { return (size_t{blocks} + 7) / 8; }

// Where the pattern in use was selected, among the steps that were reached.
std::optional<size_t> StepInUse(const MaskReport& report) {
  if (!report.started.has_select_step()) return std::nullopt;
  for (size_t step = 0; step < report.steps(); ++step) {
    if (report.at(step, 0).step() == report.started.select_step()) return step;
  }
  return std::nullopt;
}

// A mean of those that are there.
class Mean {
 public:
  void Add(double value) {
    sum_ += value;
    ++count_;
  }
  std::optional<double> value() const {
    if (count_ == 0) return std::nullopt;
    return sum_ / static_cast<double>(count_);
  }

 private:
  double sum_ = 0;
  size_t count_ = 0;
};

double KeptShare(const v1::HeadPattern& pattern, uint32_t blocks) {
  size_t kept = 0;
  for (const char byte : pattern.kept()) {
    kept += static_cast<size_t>(std::popcount(static_cast<unsigned char>(byte)));
  }
  return static_cast<double>(kept) / (static_cast<double>(blocks) * blocks);
}

}  // namespace

size_t MaskReport::heads_of_step() const {
  return static_cast<size_t>(started.layers_size()) * static_cast<size_t>(started.heads_size());
}

size_t MaskReport::steps() const {
  return heads_of_step() == 0 ? 0 : heads.size() / heads_of_step();
}

absl::Status CheckReport(const MaskReport& report) {
  const uint32_t blocks = report.started.blocks();
  const size_t of_step = report.heads_of_step();
  if (of_step == 0 || blocks == 0 || blocks > kMaxBlocks || report.heads.size() % of_step != 0) {
    return absl::InternalError(absl::StrCat("the server sent ", report.heads.size(), " heads of ",
                                            blocks, " blocks, ", of_step, " a step"));
  }
  for (size_t i = 0; i < report.heads.size(); ++i) {
    const v1::HeadPattern& head = report.heads[i];
    const auto importances = static_cast<size_t>(head.importance_size());
    const bool right = head.step() == report.at(i / of_step, 0).step() &&
                       head.kept().size() == blocks * RowBytes(blocks) &&
                       (importances == 0 || importances == size_t{blocks} * blocks) &&
                       static_cast<size_t>(head.similarity_size()) == i / of_step + 1;
    if (!right) {
      return absl::InternalError(absl::StrCat("the server's head ", i, " is not of ", blocks,
                                              " blocks, or not of its step"));
    }
  }
  return absl::OkStatus();
}

bool IsKept(const v1::HeadPattern& pattern, uint32_t blocks, uint32_t query, uint32_t key) {
  const size_t byte = query * RowBytes(blocks) + key / 8;
  return (static_cast<unsigned char>(pattern.kept()[byte]) >> (key % 8) & 1) != 0;
}

double SimilarityOf(const MaskReport& report, size_t step_a, size_t step_b, size_t head) {
  const auto [earlier, later] = std::minmax(step_a, step_b);
  return report.at(later, head).similarity(static_cast<int>(earlier));
}

std::vector<StepSummary> Summarize(const MaskReport& report) {
  const std::optional<size_t> in_use = StepInUse(report);
  std::vector<StepSummary> summaries;
  for (size_t step = 0; step < report.steps(); ++step) {
    StepSummary summary;
    summary.step = report.at(step, 0).step();
    summary.kind = report.at(step, 0).kind();
    Mean kept;
    Mean recall;
    Mean fresh_recall;
    Mean similarity;
    for (size_t i = 0; i < report.heads_of_step(); ++i) {
      const v1::HeadPattern& head = report.at(step, i);
      kept.Add(KeptShare(head, report.started.blocks()));
      if (head.has_recall()) recall.Add(head.recall());
      if (head.has_fresh_recall()) fresh_recall.Add(head.fresh_recall());
      if (in_use) similarity.Add(SimilarityOf(report, step, *in_use, i));
      const bool least =
          head.has_recall() && (!summary.least_recall || head.recall() < *summary.least_recall);
      if (!least) continue;
      summary.least_recall = head.recall();
      summary.least_layer = head.layer();
      summary.least_head = head.head();
    }
    summary.kept = kept.value().value_or(0);
    summary.recall = recall.value();
    summary.fresh_recall = fresh_recall.value();
    summary.similarity = similarity.value();
    summaries.push_back(summary);
  }
  return summaries;
}

std::vector<std::vector<double>> MeanSimilarities(const MaskReport& report) {
  std::vector<std::vector<double>> means(report.steps(), std::vector<double>(report.steps()));
  for (size_t a = 0; a < report.steps(); ++a) {
    for (size_t b = 0; b < report.steps(); ++b) {
      Mean mean;
      for (size_t i = 0; i < report.heads_of_step(); ++i) mean.Add(SimilarityOf(report, a, b, i));
      means[a][b] = mean.value().value_or(0);
    }
  }
  return means;
}

std::string ReportJson(const MaskReport& report) {
  std::string json = absl::StrCat("{\n\"started\": ", ToJson(report.started), ",\n\"heads\": [\n");
  for (size_t i = 0; i < report.heads.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",\n", ToJson(report.heads[i]));
  }
  absl::StrAppend(&json, "],\n\"final\": ", ToJson(report.result), "}\n");
  return json;
}

}  // namespace sparsed::clients
