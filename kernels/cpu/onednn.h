// What the products by oneDNN (2.6 and later) share: each primitive multiplies one tile of rows by
// one slab of a weight's outputs, on one thread.
#pragma once

#include <cstdint>
#include <dnnl.hpp>

// Of libgomp, the OpenMP that the distributions build oneDNN with; omp.h is not installed with
// every compiler.
extern "C" void omp_set_num_threads(int threads);

namespace sparsed::kernels {

// oneDNN asks OpenMP how many threads it may use; the setting belongs to the calling thread. With
// one, it starts no team.
inline void UseOneOpenMpThread() { omp_set_num_threads(1); }

struct TileShape {
  int64_t rows = 0;
  int64_t in_features = 0;
  int64_t columns = 0;
};

struct TileTypes {
  dnnl::memory::data_type x;
  dnnl::memory::data_type weights;
  dnnl::memory::data_type out;
};

inline dnnl::memory::desc Matrix(int64_t rows, int64_t cols, dnnl::memory::data_type type) {
  return {{rows, cols}, type, dnnl::memory::format_tag::ab};
}

// The weights are in a layout of oneDNN's choice. Empty where oneDNN has no such product.
inline dnnl::matmul::primitive_desc TileDescription(const dnnl::engine& engine,
                                                    const TileShape& shape,
                                                    const TileTypes& types) {
  const dnnl::memory::desc x = Matrix(shape.rows, shape.in_features, types.x);
  const dnnl::memory::desc out = Matrix(shape.rows, shape.columns, types.out);
  const dnnl::memory::desc weights({shape.in_features, shape.columns}, types.weights,
                                   dnnl::memory::format_tag::any);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  constexpr bool kAllowEmpty = true;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, x, weights, out, attributes, kAllowEmpty};
#else
  return {dnnl::matmul::desc(x, weights, out), attributes, engine, kAllowEmpty};
#endif
}

}  // namespace sparsed::kernels
