#include "tests/golden/recording_backend.h"

namespace sparsed::testing {

void Recording::Clear() {
  samples.clear();
  tokens.clear();
  confidences.clear();
  logits.clear();
  chosen.clear();
}

absl::Status RecordingBackend::Attention(const kernels::AttentionParams& params) {
  kernels::AttentionParams with_importance = params;
  std::vector<kernels::AttentionSequence> sequences(params.sequences.begin(),
                                                    params.sequences.end());
  for (kernels::AttentionSequence& sequence : sequences) {
    if (sequence.mode != kernels::AttentionMode::kFullSelect) continue;
    const int64_t rows = int64_t{sequence.mask.num_heads} * sequence.mask.num_blocks;
    LayerImportance importance;
    importance.all.resize(rows * sequence.mask.num_blocks);
    importance.canvas.resize(rows *
                             (sequence.mask.num_blocks - sequence.selection.first_canvas_block));
    sequence.selection.importance = importance.all.data();
    sequence.selection.canvas_importance = importance.canvas.data();
    recording_->importances.push_back(std::move(importance));
  }
  with_importance.sequences = sequences;
  return backend_->Attention(with_importance);
}

absl::Status RecordingBackend::SampleRows(kernels::TensorView logits,
                                          std::span<const kernels::SampleRow> rows, int32_t* tokens,
                                          float* confidences) {
  if (absl::Status status = backend_->SampleRows(logits, rows, tokens, confidences); !status.ok()) {
    return status;
  }
  recording_->samples.insert(recording_->samples.end(), rows.begin(), rows.end());
  recording_->tokens.insert(recording_->tokens.end(), tokens, tokens + rows.size());
  recording_->confidences.insert(recording_->confidences.end(), confidences,
                                 confidences + rows.size());
  if (!recording_->keep_logits) return absl::OkStatus();
  for (const kernels::SampleRow& row : rows) {
    const float* values = static_cast<const float*>(logits.data) + row.row * logits.stride;
    recording_->logits.emplace_back(values, values + logits.cols);
  }
  return absl::OkStatus();
}

absl::Status RecordingBackend::CommitRows(const float* confidences,
                                          std::span<const kernels::CommitGroup> groups,
                                          int32_t* chosen) {
  if (absl::Status status = backend_->CommitRows(confidences, groups, chosen); !status.ok()) {
    return status;
  }
  int64_t total = 0;
  for (const kernels::CommitGroup& group : groups) total += group.keep;
  recording_->chosen.assign(chosen, chosen + total);
  return absl::OkStatus();
}

}  // namespace sparsed::testing
