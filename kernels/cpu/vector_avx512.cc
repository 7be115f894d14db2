#define SPARSED_ISA avx512
#include "kernels/cpu/vector_kernels.inc"
