// CudaBackend: sampling and commits. What a launch needs travels as kernel arguments.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_status.h"

namespace sparsed::kernels::cuda {

absl::Status CudaBackend::SampleRows(TensorView logits, std::span<const SampleRow> rows,
                                     int32_t* tokens, float* confidences) {
  for (size_t first = 0; first < rows.size(); first += kMaxSampleRows) {
    SampleLaunch launch;
    launch.logits = static_cast<float*>(logits.data);
    launch.stride = logits.stride;
    launch.vocab = static_cast<int32_t>(logits.cols);
    launch.tokens = tokens + first;
    launch.confidences = confidences + first;
    launch.num_rows = static_cast<int32_t>(std::min<size_t>(kMaxSampleRows, rows.size() - first));
    for (int32_t i = 0; i < launch.num_rows; ++i) {
      const SampleRow& row = rows[first + static_cast<size_t>(i)];
      launch.rows[i] = {row.row,
                        row.uncond_row,
                        row.cfg_scale,
                        row.temperature,
                        row.rule == ConfidenceRule::kRandom ? 1 : 0,
                        row.step,
                        row.position,
                        row.seed};
    }
    SPARSED_CUDA_RETURN("SampleRows", LaunchSample(launch, stream_));
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::CommitRows(const float* confidences, std::span<const CommitGroup> groups,
                                     int32_t* chosen) {
  int32_t out = 0;
  for (size_t first = 0; first < groups.size(); first += kMaxCommitGroups) {
    CommitLaunch launch;
    launch.confidences = confidences;
    launch.chosen = chosen;
    launch.num_groups =
        static_cast<int32_t>(std::min<size_t>(kMaxCommitGroups, groups.size() - first));
    for (int32_t i = 0; i < launch.num_groups; ++i) {
      const CommitGroup& group = groups[first + static_cast<size_t>(i)];
      launch.groups[i] = {group.first, group.count, group.keep, out};
      out += group.keep;
    }
    SPARSED_CUDA_RETURN("CommitRows", LaunchCommit(launch, stream_));
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
