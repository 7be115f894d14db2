#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_status.h"

namespace sparsed::kernels::cuda {

absl::StatusOr<std::unique_ptr<Staging>> Staging::Create(cudaStream_t stream) {
  std::unique_ptr<Staging> staging(new Staging(stream));
  for (Slot& slot : staging->slots_) {
    SPARSED_CUDA_RETURN("pinned memory", cudaMallocHost(&slot.memory, kSlotBytes));
    SPARSED_CUDA_RETURN("cudaEventCreate",
                        cudaEventCreateWithFlags(&slot.left, cudaEventDisableTiming));
  }
  return staging;
}

Staging::~Staging() {
  for (Slot& slot : slots_) {
    if (slot.left != nullptr) cudaEventDestroy(slot.left);
    if (slot.memory != nullptr) cudaFreeHost(slot.memory);
  }
}

absl::StatusOr<Staging::Slot*> Staging::NextSlot() {
  Slot& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  SPARSED_CUDA_RETURN("copy to the device", cudaEventSynchronize(slot.left));
  return &slot;
}

absl::Status Staging::Send(void* device, size_t bytes, const std::function<void(void*)>& fill) {
  const absl::StatusOr<Slot*> slot = NextSlot();
  if (!slot.ok()) return slot.status();
  fill((*slot)->memory);
  SPARSED_CUDA_RETURN("copy to the device", cudaMemcpyAsync(device, (*slot)->memory, bytes,
                                                            cudaMemcpyHostToDevice, stream_));
  SPARSED_CUDA_RETURN("copy to the device", cudaEventRecord((*slot)->left, stream_));
  return absl::OkStatus();
}

absl::Status Staging::Receive(void* host, const void* device, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const size_t piece = std::min(bytes - done, kSlotBytes);
    const absl::StatusOr<Slot*> slot = NextSlot();
    if (!slot.ok()) return slot.status();
    SPARSED_CUDA_RETURN("copy from the device",
                        cudaMemcpyAsync((*slot)->memory, static_cast<const char*>(device) + done,
                                        piece, cudaMemcpyDeviceToHost, stream_));
    SPARSED_CUDA_RETURN("copy from the device", cudaStreamSynchronize(stream_));
    std::memcpy(static_cast<char*>(host) + done, (*slot)->memory, piece);
    done += piece;
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
