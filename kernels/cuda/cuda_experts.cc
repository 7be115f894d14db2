// CudaBackend: layers with experts. How many rows each expert gets stays on the device.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/grouped_tiles.h"
#include "kernels/cuda/views.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int32_t kMostHeadDim = 256;
// Persistent blocks of a grouped product; more than run at once do no harm.
constexpr int64_t kBlocksPerMultiprocessor = 2;

// The weights of a grouped product are [out.cols, x.cols] each, without a bias.
absl::Status CheckGrouped(const TensorView& out, const TensorView& x,
                          std::span<const std::unique_ptr<LinearWeight>> weights) {
  for (const std::unique_ptr<LinearWeight>& weight : weights) {
    if (weight->in_features == x.cols && weight->out_features == out.cols && !weight->has_bias) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("GroupedLinear: [", x.rows, ", ", x.cols, "] times [", weight->out_features,
                     ", ", weight->in_features, "]", weight->has_bias ? " and a bias" : "",
                     " does not give [", out.rows, ", ", out.cols, "]"));
  }
  if (x.rows == out.rows) return absl::OkStatus();
  return absl::InvalidArgumentError("GroupedLinear: the slots are not the rows of x and out");
}

}  // namespace

absl::Status CudaBackend::HeadNorm(TensorView x, const float* weight, float eps, int32_t head_dim) {
  SPARSED_CHECK_BF16("HeadNorm", x);
  if (head_dim <= 0 || head_dim > kMostHeadDim || head_dim % 8 != 0 || x.cols % head_dim != 0) {
    return absl::InvalidArgumentError(absl::StrCat("HeadNorm: head_dim ", head_dim,
                                                   " must be a multiple of 8 up to ", kMostHeadDim,
                                                   " that divides ", x.cols));
  }
  SPARSED_CUDA_RETURN("HeadNorm", LaunchHeadNorm(AsBf16(x), x.stride, weight, eps, x.rows,
                                                 x.cols / head_dim, head_dim, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::RouteExperts(TensorView logits, int32_t per_row,
                                       const ExpertRouting& routing) {
  if (logits.dtype != DType::kF32) {
    return absl::InvalidArgumentError("RouteExperts: logits must be f32");
  }
  if (logits.cols > kMaxExperts || per_row < 1 || per_row > logits.cols) {
    return absl::InvalidArgumentError(absl::StrCat("RouteExperts: ", per_row, " of ", logits.cols,
                                                   " experts; at least one of them, and up to ",
                                                   kMaxExperts, " experts"));
  }
  RouteLaunch launch;
  launch.logits = static_cast<const float*>(logits.data);
  launch.stride = logits.stride;
  launch.num_rows = logits.rows;
  launch.num_experts = static_cast<int32_t>(logits.cols);
  launch.per_row = per_row;
  launch.rows = routing.rows;
  launch.first_slots = routing.first_slots;
  launch.slots = routing.slots;
  launch.weights = routing.weights;
  SPARSED_CUDA_RETURN("RouteExperts", LaunchRouteExperts(launch, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::GroupedLinear(TensorView out, TensorView x,
                                        std::span<const std::unique_ptr<LinearWeight>> weights,
                                        const int32_t* first_slots) {
  SPARSED_CHECK_BF16("GroupedLinear", out);
  SPARSED_CHECK_BF16("GroupedLinear", x);
  if (absl::Status status = CheckGrouped(out, x, weights); !status.ok()) return status;
  GroupedLaunch launch;
  launch.out = AsBf16(out);
  launch.x = AsBf16(x);
  launch.out_stride = out.stride;
  launch.x_stride = x.stride;
  launch.in_features = static_cast<int32_t>(x.cols);
  launch.out_features = static_cast<int32_t>(out.cols);
  for (size_t first = 0; first < weights.size(); first += kMaxGroupedWeights) {
    const size_t count = std::min<size_t>(weights.size() - first, kMaxGroupedWeights);
    launch.first_slots = first_slots + first;
    launch.num_experts = static_cast<int32_t>(count);
    for (size_t e = 0; e < count; ++e) {
      launch.weights[e] = static_cast<const GemmWeight&>(*weights[first + e]).data.as<Bf16>();
    }
    const int64_t most = MostGroupedTiles(x.rows, launch.num_experts, launch.out_features);
    const int64_t grid = std::min(most, kBlocksPerMultiprocessor * multiprocessors_);
    SPARSED_CUDA_RETURN("GroupedLinear",
                        LaunchGroupedLinear(launch, static_cast<int32_t>(grid), stream_));
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::SumExperts(TensorView out, TensorView x, const ExpertRouting& routing,
                                     int32_t per_row) {
  SPARSED_CHECK_BF16("SumExperts", out);
  SPARSED_CHECK_BF16("SumExperts", x);
  if (x.rows != out.rows * per_row || x.cols != out.cols) {
    return absl::InvalidArgumentError(absl::StrCat("SumExperts: [", x.rows, ", ", x.cols,
                                                   "] does not give [", out.rows, ", ", out.cols,
                                                   "] with ", per_row, " experts a row"));
  }
  SPARSED_CUDA_RETURN("SumExperts",
                      LaunchSumExperts(AsBf16(out), out.stride, AsBf16(x), x.stride, routing.slots,
                                       routing.weights, per_row, out.rows, out.cols, stream_));
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
