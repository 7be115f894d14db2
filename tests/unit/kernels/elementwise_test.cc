// Embed, RmsNorm, Rope, SiluMul and GatherRows against double precision, on every instruction set.

#include <bit>

#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

template <typename Check>
void OnEveryIsa(Check check) {
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    for (const int threads : {1, 3}) {
      CpuBackend backend({.threads = threads, .isa = isa});
      check(backend);
    }
  }
}

TEST_CASE("Embed widens the rows of the ids") {
  OnEveryIsa([](Backend& backend) {
    std::vector<uint16_t> table(10 * 24);
    for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint16_t>(0x3F80 + i);
    const std::vector<int32_t> ids = {9, 0, 3};
    Matrix out(3, 24, kNaN);
    const TensorView view = {table.data(), DType::kBF16, 10, 24, 24};
    REQUIRE(backend.Embed(out.view(), view, ids.data()).ok());
    CHECK(out.at(1, 0) == 1.0f);
    CHECK(out.at(0, 5) == std::bit_cast<float>((0x3F80u + 9 * 24 + 5) << 16));
    CHECK(out.at(2, 23) == std::bit_cast<float>((0x3F80u + 3 * 24 + 23) << 16));
    for (const int32_t bad : {-1, 10}) {
      CHECK(backend.Embed(out.view().Rows(0, 1), view, &bad).code() ==
            absl::StatusCode::kInvalidArgument);
    }
  });
}

TEST_CASE("RmsNorm, also in place and with tails") {
  const int64_t cols = GENERATE(1, 17, 384);
  OnEveryIsa([cols](Backend& backend) {
    const Matrix source = RandomMatrix(300, cols, 1, 3.0f);
    const Matrix weight = RandomMatrix(1, cols, 2);
    Matrix x = source;
    Matrix out(300, cols, kNaN);
    REQUIRE(backend.RmsNorm(out.view(), x.view(), weight.data.data(), 1e-5f).ok());
    MaxError error;
    for (int64_t r = 0; r < 300; ++r) {
      double squares = 0;
      for (int64_t c = 0; c < cols; ++c) squares += double{source.at(r, c)} * source.at(r, c);
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
      for (int64_t c = 0; c < cols; ++c) {
        error.Add(out.at(r, c), source.at(r, c) * scale * weight.at(0, c));
      }
    }
    CHECK(error.value() < 5e-6);
    REQUIRE(backend.RmsNorm(x.view(), x.view(), weight.data.data(), 1e-5f).ok());
    CHECK(SameBits(x.data, out.data));
  });
}

TEST_CASE("Rope pairs element j with j + D/2 and leaves other columns alone") {
  const int32_t head_dim = GENERATE(16, 64, 128);
  OnEveryIsa([head_dim](Backend& backend) {
    const int64_t cols = 2 * head_dim;
    const Matrix source = RandomMatrix(9, cols + 3, 3);
    Matrix cos_sin(50, head_dim);
    for (int64_t p = 0; p < 50; ++p) {
      for (int64_t j = 0; j < head_dim / 2; ++j) {
        const double angle =
            static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(j) / head_dim);
        cos_sin.at(p, j) = static_cast<float>(std::cos(angle));
        cos_sin.at(p, head_dim / 2 + j) = static_cast<float>(std::sin(angle));
      }
    }
    const std::vector<int32_t> positions = {0, 1, 2, 49, 7, 0, 3, 30, 4};
    Matrix x = source;
    REQUIRE(backend.Rope(x.view().Columns(1, cols), positions.data(), cos_sin.data.data(), head_dim)
                .ok());
    MaxError error;
    for (int64_t r = 0; r < 9; ++r) {
      const int64_t p = positions[static_cast<size_t>(r)];
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t j = 0; j < head_dim / 2; ++j) {
          const int64_t low = 1 + h * head_dim + j;
          const int64_t high = low + head_dim / 2;
          const double c = cos_sin.at(p, j);
          const double s = cos_sin.at(p, head_dim / 2 + j);
          error.Add(x.at(r, low), source.at(r, low) * c - source.at(r, high) * s);
          error.Add(x.at(r, high), source.at(r, high) * c + source.at(r, low) * s);
        }
      }
      REQUIRE(x.at(r, 0) == source.at(r, 0));
      REQUIRE(x.at(r, cols + 1) == source.at(r, cols + 1));
    }
    CHECK(error.value() < 1e-6);
  });
}

TEST_CASE("SiluMul, also far out and with NaN") {
  const int64_t cols = GENERATE(5, 64);
  OnEveryIsa([cols](Backend& backend) {
    Matrix gate_up = RandomMatrix(40, 2 * cols, 4, 4.0f);
    gate_up.at(0, 0) = -200.0f;
    gate_up.at(0, 1) = 200.0f;
    Matrix out(40, cols, kNaN);
    REQUIRE(backend.SiluMul(out.view(), gate_up.view()).ok());
    MaxError error;
    for (int64_t r = 0; r < 40; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const double g = gate_up.at(r, c);
        const double expected = g / (1.0 + std::exp(-g)) * gate_up.at(r, cols + c);
        error.Add(out.at(r, c) / (1 + std::abs(expected)), expected / (1 + std::abs(expected)));
      }
    }
    CHECK(error.value() < 1e-6);
    gate_up.at(1, 2) = kNaN;
    REQUIRE(backend.SiluMul(out.view(), gate_up.view()).ok());
    CHECK(std::isnan(out.at(1, 2)));
  });
}

TEST_CASE("GatherRows copies rows and refuses those outside") {
  CpuBackend backend({.threads = 2, .isa = {}});
  Matrix x = RandomMatrix(6, 10, 5);
  Matrix out(3, 10, kNaN);
  const std::vector<int32_t> rows = {5, 0, 5};
  REQUIRE(backend.GatherRows(out.view(), x.view(), rows.data()).ok());
  for (int64_t r = 0; r < 3; ++r) {
    CHECK(SameBits(&out.at(r, 0), &x.at(rows[static_cast<size_t>(r)], 0), 10));
  }
  const std::vector<int32_t> bad = {0, 6, 1};
  CHECK(backend.GatherRows(out.view(), x.view(), bad.data()).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("the vector exponential is good to a few units in the last place") {
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const VectorOps& ops = VectorOpsFor(isa);
    MaxError error;
    for (int i = 0; i <= 80000; ++i) {
      const float x = -80.0f + static_cast<float>(i) * 0.001f;
      const double expected = std::exp(static_cast<double>(x));
      // The rounding of x * log2(e) costs |x| units besides.
      error.Add(ops.sum_exp(&x, 0.0f, 1) / expected / (2.0 + std::abs(x)),
                1.0 / (2.0 + std::abs(x)));
    }
    CHECK(error.value() < 1.2e-7);
  }
}

}  // namespace
}  // namespace sparsed::kernels
