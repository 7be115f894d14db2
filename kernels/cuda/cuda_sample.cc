// CudaBackend: sampling and commits. What a launch needs travels as kernel arguments.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_status.h"

namespace sparsed::kernels::cuda {

absl::Status CudaBackend::SampleRows(TensorView logits, std::span<const SampleRow> rows,
                                     const SampleResults& results) {
  for (size_t first = 0; first < rows.size(); first += kMaxSampleRows) {
    SampleLaunch launch;
    launch.logits = static_cast<float*>(logits.data);
    launch.stride = logits.stride;
    launch.vocab = static_cast<int32_t>(logits.cols);
    launch.tokens = results.tokens + first;
    launch.confidences = results.confidences + first;
    if (results.log_probabilities != nullptr) {
      launch.log_probabilities = results.log_probabilities + first;
    }
    launch.num_rows = static_cast<int32_t>(std::min<size_t>(kMaxSampleRows, rows.size() - first));
    for (int32_t i = 0; i < launch.num_rows; ++i) {
      const SampleRow& row = rows[first + static_cast<size_t>(i)];
      SampleArgs& args = launch.rows[i];
      args.row = row.row;
      args.uncond_row = row.uncond_row;
      args.cfg_scale = row.cfg_scale;
      args.temperature = row.temperature;
      args.top_p = row.top_p;
      args.top_k = row.top_k;
      args.forbidden_token = row.forbidden_token;
      std::copy_n(row.unsure_tokens, 2, args.unsure_tokens);
      args.target_token = row.target_token;
      args.rule = row.rule;
      args.step = row.step;
      args.position = row.position;
      args.seed = row.seed;
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
      launch.groups[i] = {group.first,       group.count, group.keep, out,
                          group.temperature, group.step,  group.seed};
      out += group.keep;
    }
    SPARSED_CUDA_RETURN("CommitRows", LaunchCommit(launch, stream_));
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
