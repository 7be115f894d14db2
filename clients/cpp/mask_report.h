// What one inspection has shown, and the numbers that sum it up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::clients {

struct MaskReport {
  v1::InspectionStarted started;
  std::vector<v1::HeadPattern> heads;  // as they came: by step, then by layer, then by head
  v1::GenerateResponse result;

  size_t heads_of_step() const;
  size_t steps() const;  // inspected and reached
  const v1::HeadPattern& at(size_t step, size_t head) const {
    return heads[step * heads_of_step() + head];
  }
};

// INTERNAL where the parts do not fit together: every step must have all its heads, every head its
// blocks.
absl::Status CheckReport(const MaskReport& report);

bool IsKept(const v1::HeadPattern& pattern, uint32_t blocks, uint32_t query, uint32_t key);

// Jaccard index of the patterns that a head selects at two steps, in any order.
double SimilarityOf(const MaskReport& report, size_t step_a, size_t step_b, size_t head);

// One step, all its heads.
struct StepSummary {
  uint32_t step = 0;
  v1::StepKind kind = v1::STEP_KIND_UNSPECIFIED;
  double kept = 0;  // share of the blocks
  // Means.
  std::optional<double> recall;
  std::optional<double> fresh_recall;
  std::optional<double> similarity;  // to the pattern in use
  // The head that loses most.
  std::optional<double> least_recall;
  uint32_t least_layer = 0;
  uint32_t least_head = 0;
};
std::vector<StepSummary> Summarize(const MaskReport& report);

// [step][step], the mean over all heads.
std::vector<std::vector<double>> MeanSimilarities(const MaskReport& report);

// The report as JSON with proto field names: started, heads, final.
std::string ReportJson(const MaskReport& report);

}  // namespace sparsed::clients
