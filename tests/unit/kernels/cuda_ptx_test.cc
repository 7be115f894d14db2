// The wrappers of Hopper's own instructions, one by one, on small integers, of which every product
// is exact. Without a Hopper device the cases have nothing to run on and say so.
#include "tests/unit/kernels/cuda_ptx_probes.h"
#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels::cuda {
namespace {

bool HaveHopper() {
  int count = 0;
  cudaDeviceProp properties;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0 &&
      cudaGetDeviceProperties(&properties, 0) == cudaSuccess && properties.major == 9 &&
      properties.minor == 0) {
    return true;
  }
  WARN("no device of compute capability 9.0");
  return false;
}

// Of rows x cols, in [-8, 8].
std::vector<int> SmallIntegers(int rows, int cols, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int> values(static_cast<size_t>(rows * cols));
  for (int& value : values) value = static_cast<int>(generator() % 17) - 8;
  return values;
}

std::vector<uint16_t> AsBf16(const std::vector<int>& values) {
  std::vector<uint16_t> bits;
  for (const int value : values) bits.push_back(ToBits(static_cast<float>(value)));
  return bits;
}

TEST_CASE("wgmma from shared memory, both K-major") {
  if (!HaveHopper()) return;
  for (const int d : {64, 128}) {
    const auto a = SmallIntegers(64, d, 1);
    const auto b = SmallIntegers(128, d, 2);
    std::vector<float> got(64 * 128);
    REQUIRE(ProbeScores(d, AsBf16(a).data(), AsBf16(b).data(), got.data()) == cudaSuccess);
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 128; ++j) {
        int want = 0;
        for (int k = 0; k < d; ++k) want += a[i * d + k] * b[j * d + k];
        INFO("d " << d << " row " << i << " column " << j);
        REQUIRE(got[i * 128 + j] == static_cast<float>(want));
      }
    }
  }
}

TEST_CASE("wgmma from registers, the other operand MN-major") {
  if (!HaveHopper()) return;
  for (const int d : {64, 128}) {
    const auto a = SmallIntegers(64, 128, 3);
    const auto b = SmallIntegers(128, d, 4);
    std::vector<float> got(static_cast<size_t>(64 * d));
    REQUIRE(ProbeValues(d, AsBf16(a).data(), AsBf16(b).data(), got.data()) == cudaSuccess);
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < d; ++j) {
        int want = 0;
        for (int k = 0; k < 128; ++k) want += a[i * 128 + k] * b[k * d + j];
        INFO("d " << d << " row " << i << " column " << j);
        REQUIRE(got[i * d + j] == static_cast<float>(want));
      }
    }
  }
}

TEST_CASE("a bulk load swizzles, and fills with zeros what does not exist") {
  if (!HaveHopper()) return;
  constexpr int kRows = 200, kCols = 192;
  std::vector<uint16_t> source(kRows * kCols);
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<uint16_t>(i % 60013 + 1);
  for (const int column : {0, 64, 160}) {
    for (const int row : {0, 8, 128}) {
      std::vector<uint16_t> got(128 * 64);
      REQUIRE(ProbeBulkLoad(source.data(), kRows, kCols, column, row, got.data()) == cudaSuccess);
      for (int r = 0; r < 128; ++r) {
        for (int c = 0; c < 64; ++c) {
          const int chunk = (c / 8) ^ (r % 8);  // 16 bytes
          const bool exists = row + r < kRows && column + c < kCols;
          const uint16_t want = exists ? source[(row + r) * kCols + column + c] : 0;
          INFO("box " << column << ", " << row << " element " << c << ", " << r);
          REQUIRE(got[r * 64 + chunk * 8 + c % 8] == want);
        }
      }
    }
  }
}

TEST_CASE("stmatrix and a bulk store write a tile, and nothing beside it") {
  if (!HaveHopper()) return;
  constexpr int kRows = 40, kCols = 192;
  std::vector<uint16_t> tile(16 * 64);
  for (size_t i = 0; i < tile.size(); ++i) tile[i] = static_cast<uint16_t>(i + 1);
  for (const int column : {0, 64, 160}) {
    for (const int row : {0, 16, 32}) {
      std::vector<uint16_t> target(kRows * kCols, 0xabcd);
      REQUIRE(ProbeBulkStore(tile.data(), kRows, kCols, column, row, target.data()) == cudaSuccess);
      for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kCols; ++c) {
          const bool inside = r >= row && r < row + 16 && c >= column && c < column + 64;
          INFO("tile at " << column << ", " << row << " element " << c << ", " << r);
          REQUIRE(target[r * kCols + c] ==
                  (inside ? tile[(r - row) * 64 + c - column] : uint16_t{0xabcd}));
        }
      }
    }
  }
}

TEST_CASE("barriers hand over in turn, phase after phase") {
  if (!HaveHopper()) return;
  constexpr int kRounds = 501;
  for (const bool named : {false, true}) {
    std::vector<int> seen(2 * kRounds + 1, -1);
    REQUIRE(ProbeBarriers(named, kRounds, seen.data()) == cudaSuccess);
    for (int round = 0; round < kRounds; ++round) {
      INFO((named ? "named, round " : "in memory, round ") << round);
      REQUIRE(seen[round] == 2 * round);
      REQUIRE(seen[kRounds + round] == 2 * round + 1);
    }
  }
}

TEST_CASE("registers move from one warpgroup to the others") {
  if (!HaveHopper()) return;
  std::vector<int> got(384);
  REQUIRE(ProbeRegisters(got.data()) == cudaSuccess);
  for (int thread = 0; thread < 384; ++thread) {
    int want = 0;
    for (int i = 0; i < 160; ++i) want += (thread + i) % 7;
    REQUIRE(got[thread] == want);
  }
}

}  // namespace
}  // namespace sparsed::kernels::cuda
