// Copies from the host to the device through pinned memory, so that filling one slot and copying
// another go on at the same time. Nothing waits for the stream's other work.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sparsed::kernels::cuda {

class Staging {
 public:
  static constexpr size_t kSlotBytes = size_t{16} << 20;

  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<Staging>> Create(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Enqueues a copy of `bytes` <= kSlotBytes to the device; fill(slot) puts them into pinned memory
  // before Send returns. Waits only until an earlier copy has left the slot.
  absl::Status Send(void* device, size_t bytes, const std::function<void(void*)>& fill);
  // Copies to the host, any number of bytes, and waits for it.
  absl::Status Receive(void* host, const void* device, size_t bytes);

 private:
  struct Slot {
    void* memory = nullptr;
    cudaEvent_t left = nullptr;  // when the last copy out of `memory` is done
  };
  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  absl::StatusOr<Slot*> NextSlot();

  cudaStream_t stream_;
  std::array<Slot, 2> slots_;
  size_t next_ = 0;
};

}  // namespace sparsed::kernels::cuda
