// A backend that counts memory and has none.
#include "absl/strings/str_cat.h"
#include "kernels/backend.h"
#include "kernels/device_sizes.h"

namespace sparsed::kernels {
namespace {

class MeasuredWeight : public LinearWeight {
 public:
  explicit MeasuredWeight(Buffer buffer) : memory(std::move(buffer)) {}

  const Buffer memory;
};

class MeasuringBackend : public Backend {
 public:
  explicit MeasuringBackend(std::unique_ptr<DeviceSizes> sizes)
      : sizes_(std::move(sizes)), allocated_bytes_(sizes_->backend_bytes) {}

  BackendInfo Info() const override {
    BackendInfo info;
    info.device = sizes_->device;
    info.description = "memory is counted, nothing is computed";
    info.weights = sizes_->weights;
    info.activation_dtype = sizes_->activation_dtype;
    info.row_alignment = sizes_->row_alignment;
    info.has_experts = sizes_->has_experts;
    info.allocated_bytes = allocated_bytes_;
    return info;
  }

  // All buffers lie at the same place, which is never read or written.
  absl::StatusOr<Buffer> Alloc(size_t bytes) override {
    allocated_bytes_ += bytes;
    return Buffer(place_, bytes, [this](void*, size_t size) { allocated_bytes_ -= size; });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> PackLinear(std::span<const HostMatrix> parts,
                                                           std::span<const float> bias) override {
    int64_t out_features = 0;
    for (const HostMatrix& part : parts) out_features += part.rows;
    const int64_t in_features = parts[0].cols;
    absl::StatusOr<uint64_t> bytes =
        sizes_->LinearBytes(out_features, in_features, parts[0].keep_full);
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<Buffer> memory = Alloc(*bytes + bias.size() * sizes_->bias_element_bytes);
    if (!memory.ok()) return memory.status();
    auto weight = std::make_unique<MeasuredWeight>(*std::move(memory));
    weight->in_features = in_features;
    weight->out_features = out_features;
    weight->has_bias = !bias.empty();
    return std::unique_ptr<LinearWeight>(std::move(weight));
  }

  absl::Status CopyIn(void*, const void*, size_t) override { return absl::OkStatus(); }
  absl::Status CopyOut(void*, const void*, size_t) override { return Nothing("CopyOut"); }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Mark(int32_t) override { return absl::OkStatus(); }
  absl::Status ReadMarks(std::span<double>) override { return absl::OkStatus(); }
  absl::Status Embed(TensorView, TensorView, const int32_t*) override { return Nothing("Embed"); }
  absl::Status RmsNorm(TensorView, TensorView, const float*, float) override {
    return Nothing("RmsNorm");
  }
  absl::Status Linear(TensorView, TensorView, const LinearWeight&, bool) override {
    return Nothing("Linear");
  }
  absl::Status Rope(TensorView, const int32_t*, const float*, int32_t) override {
    return Nothing("Rope");
  }
  absl::Status HeadNorm(TensorView, const float*, float, int32_t) override {
    return Nothing("HeadNorm");
  }
  absl::Status RouteExperts(TensorView, int32_t, const ExpertRouting&) override {
    return Nothing("RouteExperts");
  }
  absl::Status GroupedLinear(TensorView, TensorView, std::span<const std::unique_ptr<LinearWeight>>,
                             const int32_t*) override {
    return Nothing("GroupedLinear");
  }
  absl::Status SumExperts(TensorView, TensorView, const ExpertRouting&, int32_t) override {
    return Nothing("SumExperts");
  }
  absl::Status SiluMul(TensorView, TensorView) override { return Nothing("SiluMul"); }
  absl::Status Attention(const AttentionParams&) override { return Nothing("Attention"); }
  absl::Status CountBits(const uint64_t*, int64_t, int64_t*) override {
    return Nothing("CountBits");
  }
  absl::Status GatherRows(TensorView, TensorView, const int32_t*) override {
    return Nothing("GatherRows");
  }
  absl::Status SampleRows(TensorView, std::span<const SampleRow>, const SampleResults&) override {
    return Nothing("SampleRows");
  }
  absl::Status CommitRows(const float*, std::span<const CommitGroup>, int32_t*) override {
    return Nothing("CommitRows");
  }

 private:
  static absl::Status Nothing(const char* operation) {
    return absl::InternalError(absl::StrCat(operation, " on a backend that only counts memory"));
  }

  const std::unique_ptr<DeviceSizes> sizes_;
  uint64_t allocated_bytes_;
  alignas(64) char place_[64] = {};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateMeasuringBackend(const std::string& device,
                                                                WeightType weights) {
  if (device == "cpu") return std::make_unique<MeasuringBackend>(CpuSizes(weights));
  if (device == "cuda" && weights == WeightType::kInt8) {
    return absl::InvalidArgumentError(kNoInt8Weights);
  }
  if (device == "cuda") return std::make_unique<MeasuringBackend>(CudaSizes());
  return absl::InvalidArgumentError(absl::StrCat("unknown device '", device, "': use cpu or cuda"));
}

}  // namespace sparsed::kernels
