// CudaBackend: memory, copies, weights, marks.
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/half.h"

namespace sparsed::kernels::cuda {
namespace {

// count elements of `source` from `first` on, as bf16.
void ToBf16(const HostMatrix& source, int64_t first, int64_t count, uint16_t* out) {
  const auto* bytes = static_cast<const char*>(source.data);
  if (source.dtype == DType::kBF16) {
    std::memcpy(out, bytes + first * 2, static_cast<size_t>(count) * 2);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    float value = 0;
    if (source.dtype == DType::kF32) {
      std::memcpy(&value, bytes + (first + i) * 4, 4);
    } else {
      uint16_t half = 0;
      std::memcpy(&half, bytes + (first + i) * 2, 2);
      value = WidenF16(half);
    }
    out[i] = RoundToBF16(value);
  }
}

}  // namespace

absl::StatusOr<Buffer> CudaBackend::Alloc(size_t bytes) {
  void* data = nullptr;
  SPARSED_CUDA_RETURN(absl::StrCat("allocation of ", bytes, " bytes"),
                      cudaMalloc(&data, std::max<size_t>(bytes, 1)));
  *allocated_bytes_ += bytes;
  return Buffer(data, bytes, [allocated = allocated_bytes_](void* pointer, size_t size) {
    cudaFree(pointer);
    *allocated -= size;
  });
}

absl::Status CudaBackend::CopyIn(void* device_dst, const void* host_src, size_t bytes) {
  const auto* source = static_cast<const char*>(host_src);
  auto* target = static_cast<char*>(device_dst);
  for (size_t done = 0; done < bytes;) {
    const size_t piece = std::min(bytes - done, Staging::kSlotBytes);
    const absl::Status status = staging_->Send(
        target + done, piece, [&](void* slot) { std::memcpy(slot, source + done, piece); });
    if (!status.ok()) return status;
    done += piece;
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::CopyOut(void* host_dst, const void* device_src, size_t bytes) {
  return staging_->Receive(host_dst, device_src, bytes);
}

absl::Status CudaBackend::Sync() {
  SPARSED_CUDA_RETURN("synchronisation", cudaStreamSynchronize(stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::Mark(int32_t part) { return marks_.Mark(part, stream_); }

absl::Status CudaBackend::ReadMarks(std::span<double> seconds) { return marks_.Read(seconds); }

absl::StatusOr<std::unique_ptr<LinearWeight>> CudaBackend::PackLinear(
    std::span<const HostMatrix> parts, std::span<const float> bias) {
  auto weight = std::make_unique<GemmWeight>();
  weight->in_features = parts[0].cols;
  for (const HostMatrix& part : parts) {
    if (part.cols != weight->in_features || part.cols % kColumnMultiple != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "PackLinear: ", part.cols, " columns; all parts need the same multiple of 8"));
    }
    weight->out_features += part.rows;
  }
  auto data = Alloc(PackedBytes(weight->out_features, weight->in_features));
  if (!data.ok()) return data.status();
  weight->data = std::move(*data);
  if (absl::Status status = PackBias(bias, *weight); !status.ok()) return status;
  // Before the upload: trying algorithms overwrites the weight.
  if (absl::Status status = gemm_->ChooseAlgorithms(*weight); !status.ok()) return status;
  auto* target = weight->data.as<uint16_t>();
  constexpr auto kPiece = static_cast<int64_t>(Staging::kSlotBytes / 2);
  for (const HostMatrix& part : parts) {
    const int64_t elements = part.rows * part.cols;
    for (int64_t first = 0; first < elements; first += kPiece) {
      const int64_t count = std::min(kPiece, elements - first);
      const absl::Status status = staging_->Send(
          target, static_cast<size_t>(count) * 2,
          [&](void* slot) { ToBf16(part, first, count, static_cast<uint16_t*>(slot)); });
      if (!status.ok()) return status;
      target += count;
    }
  }
  return weight;
}

absl::Status CudaBackend::PackBias(std::span<const float> bias, GemmWeight& weight) {
  if (bias.empty()) return absl::OkStatus();
  const auto outputs = static_cast<int64_t>(bias.size());
  if (outputs != weight.out_features || outputs % 8 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("PackLinear: a bias of ", outputs, " numbers for ", weight.out_features,
                     " outputs; as many are needed, and a multiple of 8"));
  }
  auto data = Alloc(bias.size() * sizeof(uint16_t));
  if (!data.ok()) return data.status();
  std::vector<uint16_t> rounded(bias.size());
  std::transform(bias.begin(), bias.end(), rounded.begin(), RoundToBF16);
  weight.bias = std::move(*data);
  weight.has_bias = true;
  return CopyIn(weight.bias.data(), rounded.data(), rounded.size() * sizeof(uint16_t));
}

}  // namespace sparsed::kernels::cuda
