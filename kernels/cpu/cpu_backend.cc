#include "kernels/cpu/cpu_backend.h"

#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"
#include "kernels/cpu/shape_check.h"

namespace sparsed::kernels {
namespace {

class CpuLinearWeight : public LinearWeight {
 public:
  CpuLinearWeight(std::unique_ptr<PackedMatrix> packed, std::atomic<uint64_t>* allocated_bytes)
      : matrix(std::move(packed)), allocated_bytes_(allocated_bytes) {
    *allocated_bytes_ += matrix->bytes();
  }
  ~CpuLinearWeight() override { *allocated_bytes_ -= matrix->bytes(); }

  const std::unique_ptr<PackedMatrix> matrix;

 private:
  std::atomic<uint64_t>* const allocated_bytes_;
};

Isa ChooseIsa(const CpuOptions& options) {
  const Isa best = SupportedIsas().back();
  if (!options.isa.has_value()) return best;
  SPARSED_CHECK(*options.isa <= best, "instruction set not supported by this processor");
  return *options.isa;
}

// which: _SC_PHYS_PAGES or _SC_AVPHYS_PAGES.
uint64_t MemoryBytes(int which) {
  const long pages = sysconf(which);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes)
             : 0;
}

}  // namespace

absl::Status ShapeError(const char* op, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(op, ": ", what));
}

absl::Status CheckF32(const char* op, const char* name, const TensorView& view, int64_t rows,
                      int64_t cols) {
  if (view.dtype == DType::kF32 && view.rows == rows && view.cols == cols && view.stride >= cols) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(op, ": ", name, " must be float32 [", rows, ", ",
                                                 cols, "], is [", view.rows, ", ", view.cols,
                                                 "] with stride ", view.stride));
}

CpuBackend::CpuBackend(const CpuOptions& options)
    : pool_(options.threads),
      ops_(VectorOpsFor(ChooseIsa(options))),
      gemm_(CreateGemm(pool_)),
      int8_gemm_(options.weights == WeightType::kInt8 ? CreateInt8Gemm(pool_, ops_) : nullptr),
      description_(absl::StrCat(ops_.name, ", ", pool_.threads(), " threads, ", gemm_->Name(),
                                int8_gemm_ ? ", " + int8_gemm_->Name() : "")) {}

BackendInfo CpuBackend::Info() const {
  BackendInfo info;
  info.device = "cpu";
  info.description = description_;
  info.weights = int8_gemm_ != nullptr ? "int8" : "f32";
  info.has_experts = true;
  info.memory_total_bytes = MemoryBytes(_SC_PHYS_PAGES);
  info.memory_free_bytes = MemoryBytes(_SC_AVPHYS_PAGES);
  info.allocated_bytes = allocated_bytes_;
  return info;
}

absl::StatusOr<Buffer> CpuBackend::Alloc(size_t bytes) {
  constexpr size_t kAlignment = 64;
  if (bytes == 0) return Buffer();
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("out of memory: ", bytes, " bytes asked for"));
  }
  allocated_bytes_ += bytes;
  return Buffer(data, bytes, [this](void* memory, size_t size) {
    std::free(memory);
    allocated_bytes_ -= size;
  });
}

absl::Status CpuBackend::CopyIn(void* device_dst, const void* host_src, size_t bytes) {
  if (bytes > 0) std::memcpy(device_dst, host_src, bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::CopyOut(void* host_dst, const void* device_src, size_t bytes) {
  if (bytes > 0) std::memcpy(host_dst, device_src, bytes);
  return absl::OkStatus();
}

absl::Status CpuBackend::Sync() { return absl::OkStatus(); }

absl::Status CpuBackend::Mark(int32_t part) {
  clock_.Mark(part);
  return absl::OkStatus();
}

absl::Status CpuBackend::ReadMarks(std::span<double> seconds) {
  clock_.Read(seconds);
  return absl::OkStatus();
}

absl::Status CpuBackend::CountBits(const uint64_t* words, int64_t num_words, int64_t* count) {
  int64_t sum = 0;
  for (int64_t i = 0; i < num_words; ++i) sum += std::popcount(words[i]);
  *count = sum;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LinearWeight>> CpuBackend::PackLinear(
    std::span<const HostMatrix> parts, std::span<const float> bias) {
  int64_t out_features = 0;
  for (const HostMatrix& part : parts) {
    if (part.cols != parts[0].cols) return ShapeError("PackLinear", "parts differ in columns");
    if (part.rows < 0 || part.data == nullptr) return ShapeError("PackLinear", "empty part");
    if (part.dtype == DType::kI32) return ShapeError("PackLinear", "weights must be floats");
    out_features += part.rows;
  }
  if (out_features <= 0 || parts[0].cols <= 0) return ShapeError("PackLinear", "empty weight");
  if (!bias.empty() && static_cast<int64_t>(bias.size()) != out_features) {
    return ShapeError("PackLinear", "the bias is not one number for every output");
  }
  Gemm& gemm = int8_gemm_ != nullptr && !parts[0].keep_full ? *int8_gemm_ : *gemm_;
  absl::StatusOr<std::unique_ptr<PackedMatrix>> packed = gemm.Pack(parts, bias);
  if (!packed.ok()) return packed.status();
  auto weight = std::make_unique<CpuLinearWeight>(*std::move(packed), &allocated_bytes_);
  weight->in_features = parts[0].cols;
  weight->out_features = out_features;
  weight->has_bias = !bias.empty();
  return std::unique_ptr<LinearWeight>(std::move(weight));
}

absl::Status CpuBackend::Linear(TensorView out, TensorView x, const LinearWeight& weight,
                                bool accumulate) {
  SPARSED_KERNEL_CHECK(CheckF32("Linear", "x", x, x.rows, weight.in_features));
  SPARSED_KERNEL_CHECK(CheckF32("Linear", "out", out, x.rows, weight.out_features));
  if (accumulate && weight.has_bias) return ShapeError("Linear", "a bias is not accumulated");
  if (x.rows == 0) return absl::OkStatus();
  const auto& packed = static_cast<const CpuLinearWeight&>(weight);
  return packed.matrix->Multiply(static_cast<const float*>(x.data), x.stride, x.rows, accumulate,
                                 static_cast<float*>(out.data), out.stride);
}

absl::Status CpuBackend::Attention(const AttentionParams& params) {
  return attention_.Run(params, ops_, pool_);
}

}  // namespace sparsed::kernels
