// A backend with faults on purpose, for tests of what a server makes of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testing/forwarding_backend.h"

namespace sparsed::testing {

// One fault, which happens once. All but kAlloc and kHold wait for a request, known by its seed, to
// come to one of its steps: whatever else runs, the same step of the same request is hit.
struct Fault {
  enum class Kind {
    kHold,       // loading waits until a file is gone
    kAlloc,      // no memory, at the n-th Alloc after the first sampled step (the warm-up)
    kOperation,  // an operation of the step fails
    kSync,       // the step's results cannot be read, as after an asynchronous fault
    kNan,        // one of the request's logits is NaN
    kSlow,       // the step takes longer
  };
  Kind kind = Kind::kAlloc;
  std::string text;  // as it was written
  std::string path;  // kHold
  uint64_t nth = 0;  // kAlloc: from 1
  uint64_t seed = 0;
  uint64_t step = 0;  // 0-based
  std::chrono::milliseconds delay{0};
  std::chrono::steady_clock::time_point end;  // of the delay, once it has begun
};

// hold:PATH, alloc:NTH, operation:SEED:STEP, sync:SEED:STEP, nan:SEED:STEP or
// slow:SEED:STEP:MILLISECONDS. Errors: INVALID_ARGUMENT.
absl::StatusOr<Fault> ParseFault(const std::string& text);

// Every fault that happens is told in a line of JSON on standard error: event "fault".
class FaultyBackend final : public ForwardingBackend {
 public:
  FaultyBackend(std::unique_ptr<kernels::Backend> inner, std::vector<Fault> faults)
      : ForwardingBackend(std::move(inner)), faults_(std::move(faults)) {}

  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> PackLinear(
      std::span<const kernels::HostMatrix> parts, std::span<const float> bias) override;
  absl::StatusOr<kernels::Buffer> Alloc(size_t bytes) override;
  absl::Status CopyOut(void* host_dst, const void* device_src, size_t bytes) override;
  absl::Status SampleRows(kernels::TensorView logits, std::span<const kernels::SampleRow> rows,
                          const kernels::SampleResults& results) override;

 private:
  // What the fault does in the step of this row.
  absl::Status Happen(const Fault& fault, const kernels::TensorView& logits,
                      const kernels::SampleRow& row);

  std::vector<Fault> faults_;  // those to come
  bool warm_ = false;
  uint64_t allocs_ = 0;
  bool copy_out_fails_ = false;
};

}  // namespace sparsed::testing
