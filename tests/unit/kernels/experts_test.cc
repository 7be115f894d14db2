// What a layer with experts is made of, against plain loops; and the bits of a row whatever stands
// around it.
#include <algorithm>
#include <numeric>

#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

struct Routing {
  Routing(int64_t num_rows, int64_t experts, int32_t per_row)
      : rows(num_rows * per_row, -1),
        first_slots(experts + 1, -1),
        slots(num_rows * per_row, -1),
        weights(num_rows * per_row, kNaN) {}

  ExpertRouting view() { return {rows.data(), first_slots.data(), slots.data(), weights.data()}; }
  int32_t ExpertOfSlot(int32_t slot) const {
    return static_cast<int32_t>(std::upper_bound(first_slots.begin(), first_slots.end(), slot) -
                                first_slots.begin()) -
           1;
  }

  std::vector<int32_t> rows;
  std::vector<int32_t> first_slots;
  std::vector<int32_t> slots;
  std::vector<float> weights;
};

// A feed-forward layer with experts, as the engine runs it.
class ExpertLayer {
 public:
  static constexpr int32_t kExperts = 6;
  static constexpr int32_t kPerRow = 2;
  static constexpr int64_t kHidden = 48;
  static constexpr int64_t kFfn = 40;

  explicit ExpertLayer(int threads)
      : backend_(CpuOptions{.threads = threads, .isa = {}}),
        router_(Pack(RandomMatrix(kExperts, kHidden, 1))) {
    for (uint32_t e = 0; e < kExperts; ++e) {
      up_.push_back(Pack(RandomMatrix(kFfn, kHidden, 10 + e)));
      down_.push_back(Pack(RandomMatrix(kHidden, kFfn, 20 + e)));
    }
  }

  Matrix Run(Matrix x) {
    Matrix logits(x.rows, kExperts, kNaN);
    Routing routing(x.rows, kExperts, kPerRow);
    Matrix gathered(x.rows * kPerRow, kHidden, kNaN);
    Matrix middle(x.rows * kPerRow, kFfn, kNaN);
    Matrix results(x.rows * kPerRow, kHidden, kNaN);
    Matrix out(x.rows, kHidden, 0.5f);
    REQUIRE(backend_.Linear(logits.view(), x.view(), *router_, false).ok());
    REQUIRE(backend_.RouteExperts(logits.view(), kPerRow, routing.view()).ok());
    REQUIRE(backend_.GatherRows(gathered.view(), x.view(), routing.rows.data()).ok());
    const int32_t* first_slots = routing.first_slots.data();
    REQUIRE(backend_.GroupedLinear(middle.view(), gathered.view(), up_, first_slots).ok());
    REQUIRE(backend_.GroupedLinear(results.view(), middle.view(), down_, first_slots).ok());
    REQUIRE(backend_.SumExperts(out.view(), results.view(), routing.view(), kPerRow).ok());
    return out;
  }

 private:
  std::unique_ptr<LinearWeight> Pack(const Matrix& matrix) {
    const HostMatrix part = matrix.host();
    auto packed = backend_.PackLinear(std::span(&part, 1), {});
    REQUIRE(packed.ok());
    return *std::move(packed);
  }

  CpuBackend backend_;
  std::unique_ptr<LinearWeight> router_;
  std::vector<std::unique_ptr<LinearWeight>> up_;
  std::vector<std::unique_ptr<LinearWeight>> down_;
};

TEST_CASE("HeadNorm normalises every head by itself") {
  CpuBackend backend(CpuOptions{.threads = 2, .isa = {}});
  const Matrix x = RandomMatrix(37, 96, 1);
  const Matrix weight = RandomMatrix(1, 48, 2);
  Matrix wide(37, 100, 7.0f);
  for (int64_t r = 0; r < 37; ++r) std::copy_n(x.data.data() + r * 96, 96, &wide.at(r, 2));
  REQUIRE(backend.HeadNorm(wide.view().Columns(2, 96), weight.data.data(), 1e-5f, 48).ok());
  MaxError error;
  for (int64_t r = 0; r < 37; ++r) {
    for (int64_t head = 0; head < 96; head += 48) {
      double squares = 0;
      for (int64_t c = 0; c < 48; ++c) squares += std::pow(double{x.at(r, head + c)}, 2);
      const double scale = 1 / std::sqrt(squares / 48 + 1e-5);
      for (int64_t c = 0; c < 48; ++c) {
        error.Add(wide.at(r, 2 + head + c), x.at(r, head + c) * scale * weight.at(0, c));
      }
    }
    CHECK(wide.at(r, 1) == 7.0f);
    CHECK(wide.at(r, 98) == 7.0f);
  }
  CHECK(error.value() < 1e-5);
  CHECK(backend.HeadNorm(wide.view(), weight.data.data(), 1e-5f, 48).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a row goes to the experts of its largest logits, ties to the lower, unscaled") {
  CpuBackend backend(CpuOptions{.threads = 1, .isa = {}});
  Matrix logits(3, 4);
  logits.data = {0, 1, 1, 1, 3, 0, 2, 1, -1, -1, -1, -1};
  Routing routing(3, 4, 2);
  REQUIRE(backend.RouteExperts(logits.view(), 2, routing.view()).ok());
  // Experts 1 2, 0 2, 0 1.
  CHECK(routing.first_slots == std::vector<int32_t>{0, 2, 4, 6, 6});
  CHECK(routing.rows == std::vector<int32_t>{1, 2, 0, 2, 0, 1});
  CHECK(routing.slots == std::vector<int32_t>{2, 4, 0, 5, 1, 3});
  const float e = std::exp(1.0f);
  CHECK(routing.weights[0] == Approx(e / (1 + 3 * e)));
  CHECK(routing.weights[1] == routing.weights[0]);
  CHECK(routing.weights[2] == Approx(e * e * e / (e * e * e + 1 + e * e + e)));
  CHECK(routing.weights[5] == 0.25f);
  CHECK(backend.RouteExperts(logits.view(), 5, routing.view()).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("logits that are not numbers still go to as many experts") {
  CpuBackend backend(CpuOptions{.threads = 1, .isa = {}});
  Matrix logits(1, 4, kNaN);
  Routing routing(1, 4, 3);
  REQUIRE(backend.RouteExperts(logits.view(), 3, routing.view()).ok());
  CHECK(routing.first_slots == std::vector<int32_t>{0, 1, 2, 3, 3});
  CHECK(std::isnan(routing.weights[0]));
}

TEST_CASE("the layer is the weighted sum over the experts of each row") {
  ExpertLayer layer(2);
  const Matrix x = RandomMatrix(150, ExpertLayer::kHidden, 3, 0.5f);
  const Matrix router = RandomMatrix(ExpertLayer::kExperts, ExpertLayer::kHidden, 1);
  const Matrix out = layer.Run(x);
  MaxError error;
  for (int64_t r = 0; r < x.rows; ++r) {
    std::vector<double> logits(ExpertLayer::kExperts, 0);
    double sum = 0;
    for (int64_t e = 0; e < ExpertLayer::kExperts; ++e) {
      for (int64_t k = 0; k < x.cols; ++k) logits[e] += double{x.at(r, k)} * router.at(e, k);
      sum += std::exp(logits[e]);
    }
    std::vector<int> order(ExpertLayer::kExperts);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
    std::vector<double> expected(x.cols, 0.5);
    for (int i = 0; i < ExpertLayer::kPerRow; ++i) {
      const int e = order[i];
      const Matrix up = RandomMatrix(ExpertLayer::kFfn, ExpertLayer::kHidden, 10 + e);
      const Matrix down = RandomMatrix(ExpertLayer::kHidden, ExpertLayer::kFfn, 20 + e);
      for (int64_t f = 0; f < ExpertLayer::kFfn; ++f) {
        double middle = 0;
        for (int64_t k = 0; k < x.cols; ++k) middle += double{x.at(r, k)} * up.at(f, k);
        for (int64_t c = 0; c < x.cols; ++c) {
          expected[c] += std::exp(logits[e]) / sum * middle * down.at(c, f);
        }
      }
    }
    for (int64_t c = 0; c < x.cols; ++c) error.Add(out.at(r, c), expected[c]);
  }
  CHECK(error.value() < 2e-4);
}

TEST_CASE("a row's bits depend on neither the batch nor the threads") {
  const Matrix x = RandomMatrix(200, ExpertLayer::kHidden, 4);
  ExpertLayer one(1);
  const Matrix together = one.Run(x);
  for (const int threads : {1, 3}) {
    ExpertLayer layer(threads);
    for (const auto& [first, count] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {17, 5}, {40, 160}}) {
      CAPTURE(threads, first, count);
      Matrix part(count, x.cols);
      std::copy_n(x.data.begin() + first * x.cols, count * x.cols, part.data.begin());
      const Matrix out = layer.Run(part);
      CHECK(SameBits(out.data.data(), together.data.data() + first * x.cols, out.data.size()));
    }
  }
}

TEST_CASE("slots that are not the rows are refused") {
  CpuBackend backend(CpuOptions{.threads = 1, .isa = {}});
  const Matrix w = RandomMatrix(8, 8, 5);
  const HostMatrix part = w.host();
  std::vector<std::unique_ptr<LinearWeight>> weights;
  for (int e = 0; e < 2; ++e) weights.push_back(*backend.PackLinear(std::span(&part, 1), {}));
  Matrix x(4, 8);
  Matrix out(4, 8);
  for (const std::vector<int32_t>& first_slots :
       std::vector<std::vector<int32_t>>{{0, 2, 3}, {1, 2, 4}, {0, 5, 4}}) {
    CHECK(backend.GroupedLinear(out.view(), x.view(), weights, first_slots.data()).code() ==
          absl::StatusCode::kInvalidArgument);
  }
  const std::vector<int32_t> good = {0, 0, 4};
  CHECK(backend.GroupedLinear(out.view(), x.view(), weights, good.data()).ok());
}

}  // namespace
}  // namespace sparsed::kernels
