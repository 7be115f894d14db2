#define SPARSED_ISA avx2
#include "kernels/cpu/vector_kernels.inc"
