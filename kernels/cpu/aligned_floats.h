// A growing piece of 64-byte aligned scratch memory.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "kernels/check.h"

namespace sparsed::kernels {

class AlignedFloats {
 public:
  // At least `count` floats; contents are lost when it grows. Running out of scratch memory ends
  // the process, as std::bad_alloc would.
  float* Reserve(size_t count) {
    if (count > count_) {
      data_.reset(
          static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)));
      SPARSED_CHECK(data_ != nullptr, "out of memory for scratch");
      count_ = count;
    }
    return data_.get();
  }
  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  size_t count_ = 0;
};

}  // namespace sparsed::kernels
