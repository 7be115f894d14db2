#define SPARSED_ISA baseline
#include "kernels/cpu/vector_kernels.inc"
