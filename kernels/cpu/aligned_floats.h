// A growing piece of 64-byte aligned memory.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "kernels/check.h"

namespace sparsed::kernels {

template <typename T>
class AlignedArray {
 public:
  // At least `count` elements; contents are lost when it grows. Running out of memory ends the
  // process, as std::bad_alloc would.
  T* Reserve(size_t count) {
    if (count > count_) {
      data_.reset(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)));
      SPARSED_CHECK(data_ != nullptr, "out of memory");
      count_ = count;
    }
    return data_.get();
  }
  T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t count_ = 0;
};

using AlignedFloats = AlignedArray<float>;

}  // namespace sparsed::kernels
