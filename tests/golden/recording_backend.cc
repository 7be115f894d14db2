#include "tests/golden/recording_backend.h"

#include "kernels/half.h"

namespace sparsed::testing {

void Recording::Clear() {
  samples.clear();
  tokens.clear();
  confidences.clear();
  logits.clear();
  chosen.clear();
}

absl::Status RecordingBackend::Rounded(const kernels::TensorView& out, absl::Status status) const {
  if (recording_->round_all_but_cols == 0 || out.cols == recording_->round_all_but_cols) {
    return status;
  }
  for (int64_t row = 0; row < out.rows; ++row) {
    float* values = static_cast<float*>(out.data) + row * out.stride;
    for (int64_t c = 0; c < out.cols; ++c) {
      values[c] = kernels::WidenBF16(kernels::RoundToBF16(values[c]));
    }
  }
  return status;
}

absl::Status RecordingBackend::ReadImportances(const kernels::Buffer& memory,
                                               LayerImportance& importance) {
  const size_t bytes = importance.all.size() * sizeof(float);
  if (absl::Status status = inner().CopyOut(importance.all.data(), memory.data(), bytes);
      !status.ok()) {
    return status;
  }
  return inner().CopyOut(importance.canvas.data(), memory.as<char>() + bytes,
                         importance.canvas.size() * sizeof(float));
}

absl::Status RecordingBackend::Attention(const kernels::AttentionParams& params) {
  kernels::AttentionParams with_importance = params;
  std::vector<kernels::AttentionSequence> sequences(params.sequences.begin(),
                                                    params.sequences.end());
  std::vector<kernels::Buffer> memories;
  std::vector<LayerImportance> importances;
  for (kernels::AttentionSequence& sequence : sequences) {
    if (sequence.mode != kernels::AttentionMode::kFullSelect) continue;
    const int64_t rows = int64_t{sequence.mask.num_heads} * sequence.mask.num_blocks;
    LayerImportance importance;
    importance.all.resize(rows * sequence.mask.num_blocks);
    importance.canvas.resize(rows *
                             (sequence.mask.num_blocks - sequence.selection.first_canvas_block));
    auto memory = inner().Alloc((importance.all.size() + importance.canvas.size()) * sizeof(float));
    if (!memory.ok()) return memory.status();
    sequence.selection.importance = memory->as<float>();
    sequence.selection.canvas_importance = memory->as<float>() + importance.all.size();
    memories.push_back(std::move(*memory));
    importances.push_back(std::move(importance));
  }
  with_importance.sequences = sequences;
  if (absl::Status status = inner().Attention(with_importance); !status.ok()) return status;
  for (size_t i = 0; i < memories.size(); ++i) {
    if (absl::Status status = ReadImportances(memories[i], importances[i]); !status.ok()) {
      return status;
    }
    recording_->importances.push_back(std::move(importances[i]));
  }
  return Rounded(params.out, absl::OkStatus());
}

absl::Status RecordingBackend::SampleRows(kernels::TensorView logits,
                                          std::span<const kernels::SampleRow> rows,
                                          const kernels::SampleResults& results) {
  if (absl::Status status = inner().SampleRows(logits, rows, results); !status.ok()) {
    return status;
  }
  const size_t known = recording_->samples.size();
  recording_->samples.insert(recording_->samples.end(), rows.begin(), rows.end());
  recording_->tokens.resize(known + rows.size());
  recording_->confidences.resize(known + rows.size());
  absl::Status status = inner().CopyOut(recording_->tokens.data() + known, results.tokens,
                                        rows.size() * sizeof(int32_t));
  status.Update(inner().CopyOut(recording_->confidences.data() + known, results.confidences,
                                rows.size() * sizeof(float)));
  if (!recording_->keep_logits) return status;
  for (const kernels::SampleRow& row : rows) {
    std::vector<float>& values = recording_->logits.emplace_back(logits.cols);
    status.Update(inner().CopyOut(values.data(),
                                  static_cast<const float*>(logits.data) + row.row * logits.stride,
                                  values.size() * sizeof(float)));
  }
  return status;
}

absl::Status RecordingBackend::CommitRows(const float* confidences,
                                          std::span<const kernels::CommitGroup> groups,
                                          int32_t* chosen) {
  if (absl::Status status = inner().CommitRows(confidences, groups, chosen); !status.ok()) {
    return status;
  }
  int64_t total = 0;
  for (const kernels::CommitGroup& group : groups) total += group.keep;
  recording_->chosen.resize(total);
  return inner().CopyOut(recording_->chosen.data(), chosen, total * sizeof(int32_t));
}

}  // namespace sparsed::testing
