// More live values than 64 registers hold: ptxas must spill. For the test of the build's gate.
__global__ void __launch_bounds__(1024) Spills(const float* in, float* out, int rounds) {
  float values[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) values[i] = in[i * 1024 + threadIdx.x];
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int i = 0; i < 96; ++i)
      values[i] = values[i] * values[(i + 7) % 96] + values[(i + 41) % 96];
  }
#pragma unroll
  for (int i = 0; i < 96; ++i) out[i * 1024 + threadIdx.x] = values[i];
}
