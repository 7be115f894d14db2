#include "kernels/cpu/isa.h"

#include "kernels/check.h"

namespace sparsed::kernels {

namespace baseline {
const VectorOps& Ops();
}
#ifdef SPARSED_X86
namespace avx2 {
const VectorOps& Ops();
}
namespace avx512 {
const VectorOps& Ops();
}
#endif

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> isas = {Isa::kBaseline};
#ifdef SPARSED_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::kAvx512);
    }
  }
#endif
  return isas;
}

const VectorOps& VectorOpsFor(Isa isa) {
#ifdef SPARSED_X86
  if (isa == Isa::kAvx512) return avx512::Ops();
  if (isa == Isa::kAvx2) return avx2::Ops();
#endif
  SPARSED_CHECK(isa == Isa::kBaseline, "instruction set not built");
  return baseline::Ops();
}

}  // namespace sparsed::kernels
