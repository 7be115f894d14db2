#include "server/inspection.h"

#include <google/protobuf/repeated_field.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace sparsed::server {
namespace {

// What an int32 does not hold is larger than any limit, too.
std::vector<int32_t> ToNumbers(const google::protobuf::RepeatedField<uint32_t>& wire) {
  constexpr uint32_t kLargest = std::numeric_limits<int32_t>::max();
  std::vector<int32_t> numbers;
  numbers.reserve(static_cast<size_t>(wire.size()));
  for (const uint32_t number : wire) {
    numbers.push_back(static_cast<int32_t>(std::min(number, kLargest)));
  }
  return numbers;
}

// Rows of 64-bit words as rows of ceil(n / 8) bytes, the lowest bits first.
std::string ToRows(const std::vector<uint64_t>& kept) {
  // n rows of ceil(n / 64) words: the only n with so many words.
  size_t n = 0;
  while (n * ((n + 63) / 64) < kept.size()) ++n;
  const size_t words = (n + 63) / 64;
  std::string rows;
  rows.reserve(n * ((n + 7) / 8));
  for (size_t row = 0; row < n; ++row) {
    for (size_t byte = 0; byte < (n + 7) / 8; ++byte) {
      rows.push_back(static_cast<char>(kept[row * words + byte / 8] >> (byte % 8 * 8) & 0xFF));
    }
  }
  return rows;
}

}  // namespace

v1::StepKind ToProto(engine::StepKind kind) {
  switch (kind) {
    case engine::StepKind::kFull:
      return v1::STEP_KIND_FULL;
    case engine::StepKind::kSelect:
      return v1::STEP_KIND_SELECT;
    case engine::StepKind::kSparse:
      return v1::STEP_KIND_SPARSE;
  }
  return v1::STEP_KIND_UNSPECIFIED;
}

engine::InspectParams ReadInspection(const v1::InspectRequest& request, int32_t steps,
                                     const engine::ModelInfo& model, Violations& violations) {
  engine::InspectParams params;
  params.layers = ToNumbers(request.layers());
  params.heads = ToNumbers(request.heads());
  params.steps = ToNumbers(request.steps());
  params.importance = request.importance();
  for (const engine::FieldViolation& wrong : engine::CheckInspection(params, steps, model)) {
    violations.Add(wrong.field, wrong.description);
  }
  return params;
}

v1::InspectionStarted DescribeInspection(const engine::Request& request,
                                         const engine::ModelInfo& model) {
  const engine::SparsePlan plan = engine::PlanSparse(request, model);
  const engine::InspectParams resolved = engine::ResolveInspection(*request.inspect, plan, model);
  v1::InspectionStarted started;
  started.mutable_layers()->Add(resolved.layers.begin(), resolved.layers.end());
  started.mutable_heads()->Add(resolved.heads.begin(), resolved.heads.end());
  started.mutable_steps()->Add(resolved.steps.begin(), resolved.steps.end());
  if (plan.used) started.set_select_step(static_cast<uint32_t>(plan.select_step));
  started.set_block_size(static_cast<uint32_t>(plan.block_size));
  started.set_blocks(static_cast<uint32_t>(plan.num_blocks));
  started.set_first_canvas_block(static_cast<uint32_t>(plan.first_canvas_block));
  return started;
}

v1::HeadPattern ToHeadPattern(const engine::InspectedStep& step, size_t index) {
  const engine::InspectedHead& head = step.heads[index];
  v1::HeadPattern pattern;
  pattern.set_step(static_cast<uint32_t>(step.step));
  pattern.set_kind(ToProto(step.kind));
  pattern.set_layer(static_cast<uint32_t>(head.layer));
  pattern.set_head(static_cast<uint32_t>(head.head));
  pattern.set_kept(ToRows(head.kept));
  pattern.mutable_importance()->Add(head.importance.begin(), head.importance.end());
  if (head.recall) pattern.set_recall(*head.recall);
  if (head.fresh_recall) pattern.set_fresh_recall(*head.fresh_recall);
  pattern.mutable_similarity()->Add(head.similarity.begin(), head.similarity.end());
  return pattern;
}

}  // namespace sparsed::server
