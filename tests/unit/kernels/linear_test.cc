// Linear: the product itself, and the bits of a row whatever stands around it.

#include <bit>
#include <numeric>

#include "kernels/cpu/convert.h"
#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

std::unique_ptr<CpuBackend> MakeBackend(int threads) {
  return std::make_unique<CpuBackend>(CpuOptions{.threads = threads, .isa = {}});
}

std::unique_ptr<LinearWeight> Pack(Backend& backend, const std::vector<HostMatrix>& parts,
                                   const std::vector<float>& bias = {}) {
  auto packed = backend.PackLinear(parts, bias);
  REQUIRE(packed.ok());
  return *std::move(packed);
}

// The error of out [rows, w.rows] against base + x w^T, relative to the size of a product.
double ErrorOf(const Matrix& out, const Matrix& x, const Matrix& w, const Matrix* base) {
  MaxError error;
  const double size = std::sqrt(static_cast<double>(x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < w.rows; ++c) {
      double sum = base != nullptr ? base->at(r, c) : 0.0;
      for (int64_t k = 0; k < x.cols; ++k) sum += static_cast<double>(x.at(r, k)) * w.at(c, k);
      error.Add(out.at(r, c) / size, sum / size);
    }
  }
  return error.value();
}

TEST_CASE("Linear multiplies and accumulates at every shape") {
  const int64_t rows = GENERATE(1, 3, 64, 65, 130);
  const int64_t in = GENERATE(1, 33, 384);
  const int64_t out_features = GENERATE(1, 100, 128, 300);
  CAPTURE(rows, in, out_features);
  const auto backend = MakeBackend(2);
  const Matrix w = RandomMatrix(out_features, in, 1);
  Matrix x = RandomMatrix(rows, in, 2);
  Matrix out(rows, out_features, kNaN);
  const auto weight = Pack(*backend, {w.host()});
  CHECK(weight->in_features == in);
  CHECK(weight->out_features == out_features);
  REQUIRE(backend->Linear(out.view(), x.view(), *weight, false).ok());
  CHECK(ErrorOf(out, x, w, nullptr) < 5e-6);
  const Matrix base = out;
  REQUIRE(backend->Linear(out.view(), x.view(), *weight, true).ok());
  CHECK(ErrorOf(out, x, w, &base) < 5e-6);
}

TEST_CASE("parts lie below one another, in any float type") {
  const auto backend = MakeBackend(1);
  const Matrix wide = RandomMatrix(200, 48, 3);
  std::vector<uint16_t> bf16(70 * 48 + 1);
  std::vector<uint16_t> f16(130 * 48);
  Matrix w = wide;
  for (size_t i = 0; i < 70 * 48; ++i) {
    bf16[i + 1] = static_cast<uint16_t>(std::bit_cast<uint32_t>(wide.data[i]) >> 16);
    w.data[i] = WidenBF16(bf16[i + 1]);
  }
  for (size_t i = 0; i < 130 * 48; ++i) {
    f16[i] = static_cast<uint16_t>(0x3000u + i % 0x1000u + (i % 2) * 0x8000u);
    w.data[70 * 48 + i] = WidenF16(f16[i]);
  }
  const Matrix tail = RandomMatrix(5, 48, 4);
  const auto weight = Pack(
      *backend,
      {{bf16.data() + 1, DType::kBF16, 70, 48}, {f16.data(), DType::kF16, 130, 48}, tail.host()});
  w.rows += 5;
  w.data.insert(w.data.end(), tail.data.begin(), tail.data.end());
  Matrix x = RandomMatrix(7, 48, 5);
  Matrix out(7, 205, kNaN);
  REQUIRE(backend->Linear(out.view(), x.view(), *weight, false).ok());
  CHECK(ErrorOf(out, x, w, nullptr) < 5e-6);
}

TEST_CASE("a bias is added to every row of the product, and only where nothing is accumulated") {
  const auto backend = MakeBackend(2);
  const Matrix w = RandomMatrix(300, 48, 13);
  const Matrix bias = RandomMatrix(1, 300, 14);
  Matrix x = RandomMatrix(130, 48, 15);
  Matrix plain(130, 300, kNaN);
  Matrix biased(130, 300, kNaN);
  REQUIRE(backend->Linear(plain.view(), x.view(), *Pack(*backend, {w.host()}), false).ok());
  const auto weight = Pack(*backend, {w.host()}, bias.data);
  REQUIRE(weight->has_bias);
  REQUIRE(backend->Linear(biased.view(), x.view(), *weight, false).ok());
  int different = 0;
  for (int64_t r = 0; r < 130; ++r) {
    for (int64_t c = 0; c < 300; ++c) {
      if (biased.at(r, c) != plain.at(r, c) + bias.at(0, c)) ++different;
    }
  }
  CHECK(different == 0);
  CHECK(backend->Linear(biased.view(), x.view(), *weight, true).code() ==
        absl::StatusCode::kInvalidArgument);
  const std::vector<HostMatrix> parts = {w.host()};
  CHECK(backend->PackLinear(parts, std::vector<float>(299)).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a row's bits do not depend on its place, the number of rows or the threads") {
  const int64_t in = GENERATE(384, 1024, 100);
  const int64_t out_features = GENERATE(384, 1100);
  const Matrix w = RandomMatrix(out_features, in, 6);
  const Matrix source = RandomMatrix(1, in, 7);
  const auto first = MakeBackend(1);
  const auto first_weight = Pack(*first, {w.host()});
  Matrix one = source;
  Matrix expected(1, out_features, kNaN);
  REQUIRE(first->Linear(expected.view(), one.view(), *first_weight, false).ok());
  for (const int threads : {1, 2, 3}) {
    const auto backend = MakeBackend(threads);
    const auto weight = Pack(*backend, {w.host()});
    for (const int64_t rows : {2, 31, 64, 127}) {
      CAPTURE(in, out_features, threads, rows);
      Matrix x = RandomMatrix(rows, in, 8);
      for (int64_t r = 0; r < rows; r += 1 + r % 2) {
        std::copy(source.data.begin(), source.data.end(), &x.at(r, 0));
      }
      Matrix out(rows, out_features, kNaN);
      REQUIRE(backend->Linear(out.view(), x.view(), *weight, false).ok());
      int different = 0;
      for (int64_t r = 0; r < rows; r += 1 + r % 2) {
        if (!SameBits(&out.at(r, 0), expected.data.data(), expected.data.size())) ++different;
      }
      CHECK(different == 0);
    }
  }
}

TEST_CASE("strided rows give the bits of dense ones and nothing else is touched") {
  const auto backend = MakeBackend(2);
  const Matrix w = RandomMatrix(150, 96, 9);
  const auto weight = Pack(*backend, {w.host()});
  Matrix x = RandomMatrix(130, 96, 10);
  Matrix dense(130, 150, kNaN);
  REQUIRE(backend->Linear(dense.view(), x.view(), *weight, false).ok());
  Matrix wide_x(130, 100, kNaN);
  Matrix wide_out(130, 170, 4.0f);
  for (int64_t r = 0; r < 130; ++r) std::copy_n(&x.at(r, 0), 96, &wide_x.at(r, 2));
  REQUIRE(
      backend
          ->Linear(wide_out.view().Columns(10, 150), wide_x.view().Columns(2, 96), *weight, false)
          .ok());
  int different = 0;
  for (int64_t r = 0; r < 130; ++r) {
    if (!SameBits(&wide_out.at(r, 10), &dense.at(r, 0), 150)) ++different;
    for (int64_t c = 0; c < 170; ++c) {
      if ((c < 10 || c >= 160) && wide_out.at(r, c) != 4.0f) ++different;
    }
  }
  CHECK(different == 0);
}

TEST_CASE("weights are counted while they live, and shapes are checked") {
  const auto backend = MakeBackend(1);
  const Matrix w = RandomMatrix(256, 64, 11);
  {
    const auto weight = Pack(*backend, {w.host()});
    CHECK(backend->Info().allocated_bytes >= 256 * 64 * sizeof(float));
    Matrix x(3, 63);
    Matrix out(3, 256);
    CHECK(backend->Linear(out.view(), x.view(), *weight, false).code() ==
          absl::StatusCode::kInvalidArgument);
    Matrix none(0, 64);
    Matrix no_out(0, 256);
    CHECK(backend->Linear(no_out.view(), none.view(), *weight, false).ok());
  }
  CHECK(backend->Info().allocated_bytes == 0);
  const Matrix other = RandomMatrix(4, 65, 12);
  const std::vector<HostMatrix> parts = {w.host(), other.host()};
  CHECK(backend->PackLinear(parts, {}).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(backend->PackLinear({}, {}).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("half-precision values widen exactly") {
  CHECK(WidenF16(0x3C00) == 1.0f);
  CHECK(WidenF16(0xC000) == -2.0f);
  CHECK(WidenF16(0x0001) == 0x1p-24f);
  CHECK(WidenF16(0x83FF) == -1023 * 0x1p-24f);
  CHECK(WidenF16(0x7BFF) == 65504.0f);
  CHECK(std::isinf(WidenF16(0x7C00)));
  CHECK(std::isnan(WidenF16(0x7E00)));
  CHECK(std::signbit(WidenF16(0x8000)));
  CHECK(WidenBF16(0x3FC0) == 1.5f);
}

}  // namespace
}  // namespace sparsed::kernels
