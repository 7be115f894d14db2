#include "kernels/cuda_library.h"

#include <dlfcn.h>

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace sparsed::kernels {

absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(int ordinal, const CudaVariant& variant) {
  // Never closed: the backend's code must outlive every object it made.
  void* library = dlopen("libsparsed_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::FailedPreconditionError(absl::StrCat("CUDA: ", dlerror()));
  using Create = int (*)(int, const CudaVariant&, Backend**, char*, size_t);
  const auto create = reinterpret_cast<Create>(dlsym(library, "sparsed_create_cuda_backend"));
  if (create == nullptr) return absl::FailedPreconditionError(absl::StrCat("CUDA: ", dlerror()));
  Backend* backend = nullptr;
  char message[512] = "";
  if (create(ordinal, variant, &backend, message, sizeof(message)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("CUDA: ", message));
  }
  return std::unique_ptr<Backend>(backend);
}

}  // namespace sparsed::kernels
