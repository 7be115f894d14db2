// Weights in 8 bits: the rounding, the exact products, and a row's bits whatever stands around it.

#include <bit>
#include <limits>
#include <numeric>

#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/int8_product.h"
#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

std::unique_ptr<CpuBackend> MakeInt8Backend(int threads, std::optional<Isa> isa = {}) {
  return std::make_unique<CpuBackend>(
      CpuOptions{.threads = threads, .isa = isa, .weights = WeightType::kInt8});
}

std::unique_ptr<LinearWeight> PackInt8(Backend& backend, const Matrix& w,
                                       const std::vector<float>& bias = {}) {
  const HostMatrix part = w.host();
  auto packed = backend.PackLinear(std::span(&part, 1), bias);
  REQUIRE(packed.ok());
  return *std::move(packed);
}

Matrix Multiply(Backend& backend, const Matrix& w, Matrix x, const std::vector<float>& bias = {}) {
  Matrix out(x.rows, w.rows, kNaN);
  REQUIRE(backend.Linear(out.view(), x.view(), *PackInt8(backend, w, bias), false).ok());
  return out;
}

struct Rounded {
  std::vector<uint8_t> numbers;
  float scale = 0;
};

Rounded Round(Isa isa, const std::vector<float>& x) {
  Rounded rounded;
  rounded.numbers.resize(x.size());
  rounded.scale = VectorOpsFor(isa).round_to_int8(rounded.numbers.data(), x.data(),
                                                  static_cast<int64_t>(x.size()));
  return rounded;
}

TEST_CASE("a row is rounded to the nearest multiples of its largest element / 127") {
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(VectorOpsFor(isa).name);
    // 19 elements: a whole vector of any width, and a rest. Halves go to the even number.
    const std::vector<float> x = {0,    1,    -1,  127,  -127,  126.4f, -126.6f, 0.5f, 1.5f, 2.5f,
                                  -0.5, -1.5, 0.4, 0.6f, -0.6f, 63,     -64,     3,    -126};
    const std::vector<int> expected = {0, 1,  -1, 127, -127, 126, -127, 0, 2,   2,
                                       0, -2, 0,  1,   -1,   63,  -64,  3, -126};
    for (const float scale : {1.0f, 0.25f, 0x1p40f, 0x1p-60f}) {
      std::vector<float> scaled = x;
      for (float& value : scaled) value *= scale;
      const Rounded rounded = Round(isa, scaled);
      CHECK(rounded.scale == scale);
      for (size_t i = 0; i < x.size(); ++i) {
        CAPTURE(i);
        CHECK(rounded.numbers[i] - 128 == expected[i]);
      }
    }
    const Rounded zeros = Round(isa, std::vector<float>(5));
    CHECK(zeros.scale == 0);
    CHECK(zeros.numbers == std::vector<uint8_t>(5, 128));
    CHECK(std::isnan(Round(isa, {1, 2, kNaN, 3}).scale));
    CHECK(std::isinf(Round(isa, {1, -std::numeric_limits<float>::infinity()}).scale));
  }
}

TEST_CASE("every element is rounded alike, wherever it stands") {
  for (const Isa isa : SupportedIsas()) {
    Matrix x = RandomMatrix(1, 70, 1);
    x.data.front() = 9;
    const Rounded whole = Round(isa, x.data);
    for (int64_t i = 1; i < x.cols; ++i) {
      const Rounded two = Round(isa, {9, x.data[static_cast<size_t>(i)]});
      CHECK(two.numbers[1] == whole.numbers[static_cast<size_t>(i)]);
    }
  }
}

// Sums of a tile by a product, with the rows past `rows` left out.
std::vector<int32_t> Sums(Int8Product& product, const std::vector<int8_t>& w,
                          const std::vector<uint8_t>& x, int64_t rows) {
  AlignedArray<uint8_t> slab;
  product.Pack(w.data(), slab.Reserve(product.slab_bytes()));
  AlignedArray<int32_t> sums;
  int32_t* out = sums.Reserve(static_cast<size_t>(kInt8TileRows * kInt8SlabColumns));
  product.SetRows(x.data(), rows, 0);
  REQUIRE(product.Multiply(slab.data(), 0, out));
  return {out, out + rows * kInt8SlabColumns};
}

std::vector<int32_t> ExactSums(const std::vector<int8_t>& w, const std::vector<uint8_t>& x,
                               int64_t rows, int64_t in) {
  std::vector<int32_t> sums;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < kInt8SlabColumns; ++c) {
      sums.push_back(
          std::inner_product(x.begin() + r * in, x.begin() + (r + 1) * in, w.begin() + c * in, 0));
    }
  }
  return sums;
}

TEST_CASE("the loops of every instruction set sum exactly, the largest products too") {
  const int64_t in = GENERATE(64, 448, 2112);
  const int64_t rows = GENERATE(1, 7, 64);
  std::mt19937 random(5);
  std::vector<int8_t> w(static_cast<size_t>(kInt8SlabColumns * in));
  std::vector<uint8_t> x(static_cast<size_t>(rows * in));
  for (int8_t& value : w) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  for (uint8_t& value : x) value = static_cast<uint8_t>(random());
  const std::vector<int32_t> expected = ExactSums(w, x, rows, in);
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(in, rows, VectorOpsFor(isa).name);
    const auto product = CreatePlainInt8Product(VectorOpsFor(isa), in, 1);
    CHECK(Sums(*product, w, x, rows) == expected);
    CHECK(IsExact(*product, in));
  }
}

TEST_CASE("oneDNN sums exactly, or is known not to") {
  const int64_t in = GENERATE(64, 448, 2112);
  const int64_t rows = GENERATE(1, 7, 64);
  const auto product = CreateOneDnnInt8Product(in, 1);
  if (product == nullptr) return;  // a build without oneDNN
  // Without VNNI two neighbouring products are summed up in 16 bits. Every second weight a zero
  // keeps within them; where IsExact holds, all weights may be there.
  const bool exact = IsExact(*product, in);
  std::mt19937 random(6);
  std::vector<int8_t> w(static_cast<size_t>(kInt8SlabColumns * in));
  std::vector<uint8_t> x(static_cast<size_t>(rows * in));
  for (size_t i = 0; i < w.size(); i += exact ? 1 : 2) {
    w[i] = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  }
  for (uint8_t& value : x) value = static_cast<uint8_t>(random());
  CAPTURE(in, rows, exact);
  const std::vector<int32_t> expected = ExactSums(w, x, rows, in);
  CHECK(Sums(*product, w, x, rows) == expected);
  const VectorOps& ops = VectorOpsFor(SupportedIsas().back());
  CHECK(Sums(*CreatePlainInt8Product(ops, in, 1), w, x, rows) == expected);
}

// |error| of a product of rounded numbers: each x is off by scale / 2 of its row at most, each w by
// scale / 2 of its output.
double Bound(const Matrix& x, int64_t row, const Matrix& w, int64_t output) {
  double x_max = 0;
  double w_max = 0;
  double x_sum = 0;
  double w_sum = 0;
  for (int64_t k = 0; k < x.cols; ++k) {
    const double a = std::abs(x.at(row, k));
    const double b = std::abs(w.at(output, k));
    x_max = std::max(x_max, a);
    w_max = std::max(w_max, b);
    x_sum += a;
    w_sum += b;
  }
  const double x_half = x_max / 254;
  const double w_half = w_max / 254;
  return 1.0001 * (x_half * w_sum + w_half * x_sum + static_cast<double>(x.cols) * x_half * w_half);
}

TEST_CASE("a product is as near to the exact one as its roundings allow") {
  const int64_t in = GENERATE(1, 33, 384, 1100);
  const int64_t rows = GENERATE(1, 65, 130);
  const int64_t out_features = GENERATE(1, 100, 300);
  CAPTURE(in, rows, out_features);
  const auto backend = MakeInt8Backend(2);
  // Rows and outputs of very different sizes: one scale for all would lose the small ones.
  Matrix w = RandomMatrix(out_features, in, 1);
  Matrix x = RandomMatrix(rows, in, 2);
  for (int64_t c = 0; c < out_features; ++c) {
    for (int64_t k = 0; k < in; ++k) w.at(c, k) *= std::exp2f(static_cast<float>(c % 20 - 10));
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < in; ++k) x.at(r, k) *= std::exp2f(static_cast<float>(r % 15 - 7));
  }
  const auto weight = PackInt8(*backend, w);
  Matrix out(rows, out_features, kNaN);
  REQUIRE(backend->Linear(out.view(), x.view(), *weight, false).ok());
  int wrong = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < out_features; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < in; ++k) sum += static_cast<double>(x.at(r, k)) * w.at(c, k);
      if (!(std::abs(out.at(r, c) - sum) <= Bound(x, r, w, c))) ++wrong;
    }
  }
  CHECK(wrong == 0);

  Matrix twice = out;
  REQUIRE(backend->Linear(twice.view(), x.view(), *weight, true).ok());
  const std::vector<float> bias = RandomMatrix(1, out_features, 3).data;
  const Matrix biased = Multiply(*backend, w, x, bias);
  int different = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < out_features; ++c) {
      if (twice.at(r, c) != 2 * out.at(r, c)) ++different;
      if (biased.at(r, c) != out.at(r, c) + bias[static_cast<size_t>(c)]) ++different;
    }
  }
  CHECK(different == 0);
}

TEST_CASE("small integers with 127 among them multiply exactly") {
  const auto backend = MakeInt8Backend(1);
  Matrix w(130, 40);
  Matrix x(3, 40);
  for (int64_t c = 0; c < w.rows; ++c) {
    for (int64_t k = 0; k < w.cols; ++k)
      w.at(c, k) = static_cast<float>((c * 7 + k * 31) % 255 - 127);
    w.at(c, c % 40) = 127;
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t k = 0; k < x.cols; ++k)
      x.at(r, k) = static_cast<float>((r * 5 + k * 13) % 255 - 127);
    x.at(r, r) = -127;
  }
  const Matrix out = Multiply(*backend, w, x);
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < w.rows; ++c) {
      float sum = 0;
      for (int64_t k = 0; k < w.cols; ++k) sum += x.at(r, k) * w.at(c, k);
      REQUIRE(out.at(r, c) == sum);
    }
  }
}

TEST_CASE("an int8 row's bits do not depend on its place, the number of rows or the threads") {
  const int64_t in = GENERATE(384, 100);
  const Matrix w = RandomMatrix(1100, in, 6);
  const Matrix source = RandomMatrix(1, in, 7);
  const Matrix expected = Multiply(*MakeInt8Backend(1), w, source);
  for (const int threads : {1, 2, 3}) {
    const auto backend = MakeInt8Backend(threads);
    const auto weight = PackInt8(*backend, w);
    for (const int64_t rows : {2, 31, 64, 127}) {
      CAPTURE(in, threads, rows);
      // Far larger neighbours, in a wider matrix.
      Matrix x = RandomMatrix(rows, in + 5, 8, 1000.0f);
      for (int64_t r = 0; r < rows; r += 1 + r % 2) {
        std::copy(source.data.begin(), source.data.end(), &x.at(r, 0));
      }
      Matrix out(rows, 1100, kNaN);
      REQUIRE(backend->Linear(out.view(), x.view().Columns(0, in), *weight, false).ok());
      int different = 0;
      for (int64_t r = 0; r < rows; r += 1 + r % 2) {
        if (!SameBits(&out.at(r, 0), expected.data.data(), expected.data.size())) ++different;
      }
      CHECK(different == 0);
    }
  }
}

TEST_CASE("what is no number stays none, in its own row or output alone") {
  const auto backend = MakeInt8Backend(1);
  Matrix w = RandomMatrix(3, 64, 9);
  Matrix x = RandomMatrix(3, 64, 10);
  x.at(1, 17) = kNaN;
  w.at(2, 40) = kNaN;
  const Matrix out = Multiply(*backend, w, x);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 3; ++c) CHECK(std::isnan(out.at(r, c)) == (r == 1 || c == 2));
  }
}

TEST_CASE("int8 weights are a quarter of the full ones, but where the full ones are kept") {
  const Matrix w = RandomMatrix(256, 1024, 11);
  HostMatrix part = w.host();
  const auto backend = MakeInt8Backend(1);
  CHECK(backend->Info().weights == "int8");
  const auto counting = CreateMeasuringBackend("cpu", WeightType::kInt8);
  REQUIRE(counting.ok());
  for (const bool keep_full : {false, true}) {
    part.keep_full = keep_full;
    const auto packed = backend->PackLinear(std::span(&part, 1), {});
    const auto counted = (*counting)->PackLinear(std::span(&part, 1), {});
    REQUIRE(packed.ok());
    REQUIRE(counted.ok());
    const uint64_t bytes = backend->Info().allocated_bytes;
    CHECK(bytes >= 256 * 1024 * (keep_full ? sizeof(float) : 1));
    CHECK(bytes < 256 * 1024 * (keep_full ? sizeof(float) + 1 : 1) * 1.05);
    CHECK((*counting)->Info().allocated_bytes == bytes);
  }
  CHECK(backend->Info().allocated_bytes == 0);
}

TEST_CASE("int8 weights are refused where they cannot be") {
  const std::vector<float> wide(70000, 1.0f);
  const HostMatrix part = {wide.data(), DType::kF32, 1, 70000};
  CHECK(MakeInt8Backend(1)->PackLinear(std::span(&part, 1), {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(CreateMeasuringBackend("cuda", WeightType::kInt8).status().code() ==
        absl::StatusCode::kInvalidArgument);
  BackendOptions options = {.device = "cuda", .threads = 1, .weights = WeightType::kInt8};
  CHECK(CreateBackend(options).status().code() == absl::StatusCode::kInvalidArgument);
  options.device = "auto";
  std::string why;
  const auto chosen = CreateBackend(options, &why);
  REQUIRE(chosen.ok());
  CHECK((*chosen)->Info().device == "cpu");
  CHECK(why.find("int8 weights") != std::string::npos);
}

}  // namespace
}  // namespace sparsed::kernels
