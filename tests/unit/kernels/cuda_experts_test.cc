// Layers with experts on the device, against the host and float64. Without a device the cases have
// nothing to run on and say so.
#include <numeric>

#include "kernels/backend.h"
#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels {
namespace {

constexpr uint16_t kPoison = 0x7fc0;  // NaN
constexpr int kRepeats = 20;

// A bf16 matrix on the device inside a wider and longer one of NaN.
struct Framed {
  static constexpr int64_t kSide = 8;
  static constexpr int64_t kRows = 3;  // before and after

  Framed(Backend& backend, int64_t num_rows, int64_t num_cols)
      : device(backend), rows(num_rows), cols(num_cols), stride(num_cols + 2 * kSide) {
    memory = Upload(device, std::vector<uint16_t>((rows + 2 * kRows) * stride, kPoison));
  }
  Framed(Backend& backend, const std::vector<uint16_t>& values, int64_t num_cols)
      : Framed(backend, static_cast<int64_t>(values.size()) / num_cols, num_cols) {
    std::vector<uint16_t> all((rows + 2 * kRows) * stride, kPoison);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(values.begin() + r * cols, cols, all.begin() + Place(r));
    }
    REQUIRE(device.CopyIn(memory.data(), all.data(), all.size() * 2).ok());
  }

  int64_t Place(int64_t row) const { return (row + kRows) * stride + kSide; }
  TensorView view() const {
    return {memory.as<uint16_t>() + Place(0), DType::kBF16, rows, cols, stride};
  }

  // The values; the frame must be what it was.
  std::vector<uint16_t> Read() const {
    const size_t size = (rows + 2 * kRows) * stride;
    const auto all = Download<uint16_t>(device, memory.data(), size);
    std::vector<uint16_t> values;
    size_t poisoned = 0;
    for (int64_t r = -kRows; r < rows + kRows; ++r) {
      for (int64_t c = -kSide; c < cols + kSide; ++c) {
        const uint16_t value = all[Place(r) + c];
        const bool inside = r >= 0 && r < rows && c >= 0 && c < cols;
        if (inside) values.push_back(value);
        if (!inside && value == kPoison) ++poisoned;
      }
    }
    REQUIRE(poisoned == size - static_cast<size_t>(rows * cols));
    return values;
  }

  Backend& device;
  int64_t rows;
  int64_t cols;
  int64_t stride;
  Buffer memory;
};

// A routing in a backend's memory, poisoned, with a guard behind each of its parts.
struct DeviceRouting {
  static constexpr int32_t kGuard = -7;

  DeviceRouting(Backend& backend, int64_t num_rows, int32_t num_experts, int32_t per_row)
      : device(backend), places(num_rows * per_row), experts(num_experts) {
    const std::vector<int32_t> poison(places + 1, kGuard);
    rows = Upload(device, poison);
    slots = Upload(device, poison);
    weights = Upload(device, poison);
    first_slots = Upload(device, std::vector<int32_t>(experts + 2, kGuard));
  }
  ExpertRouting view() const {
    return {rows.as<int32_t>(), first_slots.as<int32_t>(), slots.as<int32_t>(),
            weights.as<float>()};
  }
  template <typename T>
  std::vector<T> Read(const Buffer& part, int64_t count) const {
    const auto guard = Download<int32_t>(device, part.as<int32_t>() + count, 1);
    REQUIRE(guard[0] == kGuard);
    return Download<T>(device, part.data(), count);
  }

  Backend& device;
  int64_t places;
  int32_t experts;
  Buffer rows, first_slots, slots, weights;
};

std::unique_ptr<Backend> Processor() {
  auto cpu = CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  return *std::move(cpu);
}

std::vector<std::unique_ptr<LinearWeight>> Pack(Backend& backend,
                                                const std::vector<std::vector<uint16_t>>& matrices,
                                                int64_t in) {
  std::vector<std::unique_ptr<LinearWeight>> packed;
  for (const std::vector<uint16_t>& matrix : matrices) {
    const HostMatrix part = {matrix.data(), DType::kBF16, static_cast<int64_t>(matrix.size()) / in,
                             in};
    auto weight = backend.PackLinear(std::span(&part, 1), {});
    REQUIRE(weight.ok());
    packed.push_back(*std::move(weight));
  }
  return packed;
}

std::vector<int32_t> FirstSlots(const std::vector<int32_t>& counts) {
  std::vector<int32_t> first = {0};
  for (const int32_t count : counts) first.push_back(first.back() + count);
  return first;
}

// Weights of some experts on the device, and products of rows with them.
struct GroupedOnDevice {
  GroupedOnDevice(Backend& backend, int num_experts, int num_in, int num_out)
      : device(backend), in(num_in), out(num_out) {
    for (int e = 0; e < num_experts; ++e) {
      matrices.push_back(RandomBf16(static_cast<size_t>(in) * out, 100 + e, 0.05f));
    }
    packed = Pack(device, matrices, in);
  }

  std::vector<uint16_t> Run(const std::vector<uint16_t>& x, const std::vector<int32_t>& counts) {
    const Framed input(device, x, in);
    const Framed output(device, input.rows, out);
    const Buffer first_slots = Upload(device, FirstSlots(counts));
    REQUIRE(
        device.GroupedLinear(output.view(), input.view(), packed, first_slots.as<int32_t>()).ok());
    return output.Read();
  }

  Backend& device;
  int in;
  int out;
  std::vector<std::vector<uint16_t>> matrices;
  std::vector<std::unique_ptr<LinearWeight>> packed;
};

// The largest error, as a share of what one rounding to bf16 and float32 sums may leave.
double WorstError(const GroupedOnDevice& product, const std::vector<uint16_t>& x,
                  const std::vector<int32_t>& counts, const std::vector<uint16_t>& got, int step) {
  double worst = 0;
  size_t slot = 0;
  for (size_t e = 0; e < counts.size(); ++e) {
    for (int32_t i = 0; i < counts[e]; ++i, ++slot) {
      for (int c = static_cast<int>(slot) % step; c < product.out; c += step) {
        double exact = 0;
        for (int k = 0; k < product.in; ++k) {
          exact += double{FromBits(x[slot * product.in + k])} *
                   FromBits(product.matrices[e][static_cast<size_t>(c) * product.in + k]);
        }
        const double error = std::abs(FromBits(got[slot * product.out + c]) - exact);
        // A NaN is the worst.
        worst = std::isnan(error) ? std::numeric_limits<double>::infinity()
                                  : std::max(worst, error / (std::abs(exact) / 256 + 1e-4));
      }
      if (std::isinf(worst)) return worst;
    }
  }
  return worst;
}

TEST_CASE("a grouped product on the device is every expert's own") {
  const auto device = Device();
  if (!device) return;
  const std::vector<std::vector<int32_t>> all_counts = {
      {0, 1, 127, 128, 129, 0, 300, 5}, {0, 0, 0, 200, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0},
      {7, 7, 7, 7, 7, 7, 7, 7},         {0, 0, 0, 0, 0, 0, 0, 64},  {65, 0, 1, 0, 63, 64, 17, 16}};
  for (const auto& [in, out] : std::vector<std::pair<int, int>>{
           {32, 64}, {64, 128}, {72, 136}, {128, 8}, {200, 264}, {2048, 2048}}) {
    GroupedOnDevice product(*device, 8, in, out);
    for (const std::vector<int32_t>& counts : all_counts) {
      CAPTURE(in, out, counts);
      const int slots = FirstSlots(counts).back();
      const std::vector<uint16_t> x = RandomBf16(static_cast<size_t>(slots) * in, 9);
      const std::vector<uint16_t> got = product.Run(x, counts);
      REQUIRE(WorstError(product, x, counts, got, in > 1000 ? 211 : 3) <= 1);
    }
  }
}

TEST_CASE("more experts than one launch takes share a grouped product on the device") {
  const auto device = Device();
  if (!device) return;
  GroupedOnDevice product(*device, 600, 64, 64);
  std::vector<int32_t> counts(600);
  for (size_t e = 0; e < counts.size(); ++e) counts[e] = static_cast<int32_t>(e * 7 % 5);
  const std::vector<uint16_t> x =
      RandomBf16(static_cast<size_t>(FirstSlots(counts).back()) * product.in, 10);
  REQUIRE(WorstError(product, x, counts, product.Run(x, counts), 3) <= 1);
  // None at all.
  REQUIRE(product.Run({}, std::vector<int32_t>(600, 0)).empty());
}

TEST_CASE("a row of a grouped product has the same bits alone, in any company and order") {
  const auto device = Device();
  if (!device) return;
  for (const auto& [in, out] : std::vector<std::pair<int, int>>{{1024, 2048}, {2048, 264}}) {
    GroupedOnDevice product(*device, 4, in, out);
    const std::vector<int32_t> counts = {150, 0, 1, 260};
    const int slots = FirstSlots(counts).back();
    const auto row_of = [](const std::vector<uint16_t>& rows, int row, int cols) {
      return std::vector<uint16_t>(rows.begin() + int64_t{row} * cols,
                                   rows.begin() + int64_t{row + 1} * cols);
    };
    const std::vector<uint16_t> x = RandomBf16(static_cast<size_t>(slots) * in, 11);
    const std::vector<uint16_t> together = product.Run(x, counts);
    for (int repeat = 1; repeat < kRepeats; ++repeat) REQUIRE(product.Run(x, counts) == together);

    const auto expert_of = [&](int slot) { return slot < 150 ? 0 : slot == 150 ? 2 : 3; };
    for (const int slot : {0, 1, 9, 63, 64, 127, 128, 149, 150, 151, 300, 410}) {
      CAPTURE(in, out, slot);
      std::vector<int32_t> one(4, 0);
      one[expert_of(slot)] = 1;
      REQUIRE(product.Run(row_of(x, slot, in), one) == row_of(together, slot, out));
    }
    // Each expert's rows in another order, and some of them missing.
    std::vector<int> order;
    std::vector<int32_t> fewer(4, 0);
    std::mt19937 random(12);
    for (int slot = 0; slot < slots; ++slot) {
      if (random() % 3 == 0) continue;
      order.push_back(slot);
      ++fewer[expert_of(slot)];
    }
    const auto first = FirstSlots(fewer);
    for (int e = 0; e < 4; ++e) {
      std::shuffle(order.begin() + first[e], order.begin() + first[e + 1], random);
    }
    std::vector<uint16_t> shuffled;
    std::vector<uint16_t> want;
    for (const int slot : order) {
      const auto from = row_of(x, slot, in);
      const auto to = row_of(together, slot, out);
      shuffled.insert(shuffled.end(), from.begin(), from.end());
      want.insert(want.end(), to.begin(), to.end());
    }
    REQUIRE(product.Run(shuffled, fewer) == want);
  }
}

TEST_CASE("routing on the device is the processor's, ties included") {
  const auto device = Device();
  if (!device) return;
  const auto cpu = Processor();
  struct Case {
    int rows, experts, per_row;
  };
  for (const Case& test : std::vector<Case>{{0, 8, 3},
                                            {1, 1, 1},
                                            {1, 64, 8},
                                            {5, 8, 8},
                                            {333, 8, 3},
                                            {2048, 64, 8},
                                            {100, 65, 64},
                                            {31, 300, 5},
                                            {40, 1024, 64},
                                            {3000, 33, 1}}) {
    CAPTURE(test.rows, test.experts, test.per_row);
    for (const bool all_to_one : {false, true}) {
      std::mt19937 random(test.rows + test.experts);
      std::normal_distribution<float> normal(0, 2);
      std::vector<float> logits(static_cast<size_t>(test.rows) * test.experts);
      for (float& x : logits) x = std::round(normal(random) * 4) / 4;  // many ties
      for (int r = 0; r < test.rows; ++r) {
        float* row = logits.data() + static_cast<size_t>(r) * test.experts;
        if (all_to_one) row[test.experts / 2] = 30;
        if (r == 3) std::fill_n(row, test.experts, -0.0f);
        if (r == 3) row[test.experts / 2] = 0;
        if (r == 4) std::fill_n(row, test.experts, std::numeric_limits<float>::quiet_NaN());
      }
      const Buffer on_device = Upload(*device, logits);
      const DeviceRouting got(*device, test.rows, test.experts, test.per_row);
      const DeviceRouting want(*cpu, test.rows, test.experts, test.per_row);
      REQUIRE(device
                  ->RouteExperts(View(on_device, DType::kF32, test.rows, test.experts),
                                 test.per_row, got.view())
                  .ok());
      REQUIRE(cpu->RouteExperts({logits.data(), DType::kF32, test.rows, test.experts, test.experts},
                                test.per_row, want.view())
                  .ok());
      const int64_t places = got.places;
      REQUIRE(got.Read<int32_t>(got.first_slots, test.experts + 1) ==
              want.Read<int32_t>(want.first_slots, test.experts + 1));
      REQUIRE(got.Read<int32_t>(got.rows, places) == want.Read<int32_t>(want.rows, places));
      REQUIRE(got.Read<int32_t>(got.slots, places) == want.Read<int32_t>(want.slots, places));
      const auto weights = got.Read<float>(got.weights, places);
      const auto wanted = want.Read<float>(want.weights, places);
      for (int64_t i = 0; i < places; ++i) {
        CAPTURE(i);
        if (i / test.per_row == 4) {
          REQUIRE(std::isnan(weights[i]));
        } else {
          REQUIRE(std::abs(weights[i] - wanted[i]) <= 1e-5f * wanted[i]);
        }
      }
    }
  }
}

TEST_CASE("heads are normalised one by one on the device") {
  const auto device = Device();
  if (!device) return;
  for (const auto& [heads, dim] :
       std::vector<std::pair<int, int>>{{1, 64}, {6, 64}, {16, 128}, {33, 128}, {3, 8}, {5, 200}}) {
    CAPTURE(heads, dim);
    const int rows = 37, cols = heads * dim;
    const std::vector<uint16_t> x = RandomBf16(static_cast<size_t>(rows) * cols, 13, 2);
    std::vector<float> weight(dim);
    for (int c = 0; c < dim; ++c) weight[c] = Round(0.5f + 0.01f * static_cast<float>(c));
    const Buffer weight_device = Upload(*device, weight);
    const auto run = [&](const std::vector<uint16_t>& values) {
      const Framed matrix(*device, values, cols);
      REQUIRE(device->HeadNorm(matrix.view(), weight_device.as<float>(), 1e-5f, dim).ok());
      return matrix.Read();
    };
    const std::vector<uint16_t> got = run(x);
    for (int r = 0; r < rows; ++r) {
      for (int head = 0; head < heads; ++head) {
        const size_t first = static_cast<size_t>(r) * cols + static_cast<size_t>(head) * dim;
        double squares = 0;
        for (int c = 0; c < dim; ++c) squares += std::pow(double{FromBits(x[first + c])}, 2);
        const double scale = 1 / std::sqrt(squares / dim + 1e-5);
        for (int c = 0; c < dim; ++c) {
          REQUIRE(FromBits(got[first + c]) ==
                  Approx(FromBits(x[first + c]) * scale * weight[c]).epsilon(0.009).margin(1e-6));
        }
      }
    }
    const std::vector<uint16_t> alone(x.begin() + int64_t{20} * cols,
                                      x.begin() + int64_t{21} * cols);
    REQUIRE(run(alone) == std::vector<uint16_t>(got.begin() + int64_t{20} * cols,
                                                got.begin() + int64_t{21} * cols));
  }
}

// A feed-forward layer with experts, as the engine runs it after the router's product.
struct Layer {
  static constexpr int kExperts = 8;
  static constexpr int kPerRow = 3;
  static constexpr int kHidden = 128;
  static constexpr int kFfn = 72;

  Layer() {
    for (uint32_t e = 0; e < kExperts; ++e) {
      gate_up.push_back(RandomBf16(2 * kFfn * kHidden, 200 + e, 0.1f));
      down.push_back(RandomBf16(kHidden * kFfn, 300 + e, 0.1f));
    }
  }

  // hidden + experts(normed), bf16 on a device.
  std::vector<uint16_t> OnDevice(Backend& device, const std::vector<float>& logits,
                                 const std::vector<uint16_t>& normed,
                                 const std::vector<uint16_t>& hidden) const {
    const int64_t rows = static_cast<int64_t>(logits.size()) / kExperts;
    const auto ups = Pack(device, gate_up, kHidden);
    const auto downs = Pack(device, down, kFfn);
    const Buffer router = Upload(device, logits);
    const DeviceRouting routing(device, rows, kExperts, kPerRow);
    const Framed in(device, normed, kHidden);
    const Framed out(device, hidden, kHidden);
    const Framed gathered(device, rows * kPerRow, kHidden);
    const Framed middle(device, rows * kPerRow, 2 * kFfn);
    const Framed activated(device, rows * kPerRow, kFfn);
    Run(device, View(router, DType::kF32, rows, kExperts), routing.view(), in.view(), out.view(),
        gathered.view(), middle.view(), activated.view(), ups, downs, [](const TensorView&) {});
    return out.Read();
  }

  // The same in float32; `rounded` to bf16 wherever a plain implementation rounds.
  std::vector<float> OnProcessor(Backend& cpu, std::vector<float> logits,
                                 const std::vector<uint16_t>& normed,
                                 const std::vector<uint16_t>& hidden, bool rounded) const {
    const int64_t rows = static_cast<int64_t>(logits.size()) / kExperts;
    const auto floats = [](const std::vector<uint16_t>& bits) {
      std::vector<float> values(bits.size());
      std::transform(bits.begin(), bits.end(), values.begin(), FromBits);
      return values;
    };
    const auto view = [](std::vector<float>& values, int64_t cols) {
      return TensorView{values.data(), DType::kF32, static_cast<int64_t>(values.size()) / cols,
                        cols, cols};
    };
    const DeviceRouting routing(cpu, rows, kExperts, kPerRow);
    std::vector<float> in = floats(normed);
    std::vector<float> out = floats(hidden);
    std::vector<float> gathered(rows * kPerRow * kHidden);
    std::vector<float> middle(rows * kPerRow * 2 * kFfn);
    std::vector<float> activated(rows * kPerRow * kFfn);
    Run(cpu, view(logits, kExperts), routing.view(), view(in, kHidden), view(out, kHidden),
        view(gathered, kHidden), view(middle, 2 * kFfn), view(activated, kFfn),
        Pack(cpu, gate_up, kHidden), Pack(cpu, down, kFfn), [&](const TensorView& result) {
          auto* values = static_cast<float*>(result.data);
          if (rounded) std::transform(values, values + result.rows * result.cols, values, Round);
        });
    return out;
  }

 private:
  using Weights = std::vector<std::unique_ptr<LinearWeight>>;

  template <typename After>
  static void Run(Backend& backend, const TensorView& logits, const ExpertRouting& routing,
                  const TensorView& in, const TensorView& out, const TensorView& gathered,
                  const TensorView& middle, const TensorView& activated, const Weights& ups,
                  const Weights& downs, const After& after) {
    REQUIRE(backend.RouteExperts(logits, kPerRow, routing).ok());
    REQUIRE(backend.GatherRows(gathered, in, routing.rows).ok());
    REQUIRE(backend.GroupedLinear(middle, gathered, ups, routing.first_slots).ok());
    after(middle);
    REQUIRE(backend.SiluMul(activated, middle).ok());
    after(activated);
    REQUIRE(backend.GroupedLinear(gathered, activated, downs, routing.first_slots).ok());
    after(gathered);
    REQUIRE(backend.SumExperts(out, gathered, routing, kPerRow).ok());
    after(out);
  }

  std::vector<std::vector<uint16_t>> gate_up;
  std::vector<std::vector<uint16_t>> down;
};

TEST_CASE("a layer with experts on the device is as near the processor's as bf16 allows") {
  const auto device = Device();
  if (!device) return;
  const auto cpu = Processor();
  const Layer layer;
  const int rows = 500;
  std::mt19937 random(14);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> logits(rows * Layer::kExperts);
  for (float& x : logits) x = normal(random);
  const std::vector<uint16_t> normed = RandomBf16(rows * Layer::kHidden, 15);
  const std::vector<uint16_t> hidden = RandomBf16(rows * Layer::kHidden, 16);
  const std::vector<uint16_t> got = layer.OnDevice(*device, logits, normed, hidden);
  const std::vector<float> exact = layer.OnProcessor(*cpu, logits, normed, hidden, false);
  const std::vector<float> plain = layer.OnProcessor(*cpu, logits, normed, hidden, true);
  double error = 0;
  double plain_error = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    REQUIRE(std::isfinite(FromBits(got[i])));
    error = std::max(error, std::abs(double{FromBits(got[i])} - exact[i]));
    plain_error = std::max(plain_error, std::abs(double{plain[i]} - exact[i]));
  }
  std::cout << "a layer with experts: largest error " << error << ", of a plain one in bf16 "
            << plain_error << "\n";
  REQUIRE(error <= 2 * plain_error + 1e-5);

  // The same rows alone, and all of them backwards.
  const auto slice = [](const auto& values, int first, int count, int cols) {
    return std::vector(values.begin() + int64_t{first} * cols,
                       values.begin() + int64_t{first + count} * cols);
  };
  for (const auto& [first, count] : std::vector<std::pair<int, int>>{{0, 1}, {77, 1}, {130, 200}}) {
    CAPTURE(first, count);
    REQUIRE(layer.OnDevice(*device, slice(logits, first, count, Layer::kExperts),
                           slice(normed, first, count, Layer::kHidden),
                           slice(hidden, first, count, Layer::kHidden)) ==
            slice(got, first, count, Layer::kHidden));
  }
  const auto backwards = [&](const auto& values, int cols) {
    auto turned = values;
    for (int r = 0; r < rows; ++r) {
      std::copy_n(values.begin() + int64_t{r} * cols, cols,
                  turned.begin() + int64_t{rows - 1 - r} * cols);
    }
    return turned;
  };
  REQUIRE(layer.OnDevice(*device, backwards(logits, Layer::kExperts),
                         backwards(normed, Layer::kHidden),
                         backwards(hidden, Layer::kHidden)) == backwards(got, Layer::kHidden));
  for (int repeat = 1; repeat < kRepeats; ++repeat) {
    REQUIRE(layer.OnDevice(*device, logits, normed, hidden) == got);
  }
}

TEST_CASE("what the device's experts do not take is refused") {
  const auto device = Device();
  if (!device) return;
  REQUIRE(device->Info().has_experts);
  constexpr auto kRefused = absl::StatusCode::kInvalidArgument;
  const Framed x(*device, 6, 64);
  const Framed out(*device, 6, 64);
  const Framed wide(*device, 6, 72);
  const Buffer numbers = Upload(*device, std::vector<float>(1100, 0.0f));
  const DeviceRouting routing(*device, 3, 4, 2);
  const ExpertRouting view = routing.view();
  CHECK(device->HeadNorm(x.view(), numbers.as<float>(), 1e-5f, 48).code() == kRefused);
  CHECK(device->HeadNorm(x.view(), numbers.as<float>(), 1e-5f, 4).code() == kRefused);
  CHECK(device->RouteExperts(View(numbers, DType::kF32, 1, 4), 5, view).code() == kRefused);
  CHECK(device->RouteExperts(View(numbers, DType::kF32, 1, 4), 0, view).code() == kRefused);
  CHECK(device->RouteExperts(View(numbers, DType::kF32, 1, 1025), 1, view).code() == kRefused);
  CHECK(device->RouteExperts(x.view(), 1, view).code() == kRefused);
  CHECK(device->SumExperts(out.view(), x.view(), view, 2).code() == kRefused);

  const std::vector<uint16_t> matrix = RandomBf16(64 * 64, 17);
  const auto weights = Pack(*device, {matrix, matrix}, 64);
  const Buffer first_slots = Upload(*device, std::vector<int32_t>{0, 2, 6});
  const auto* slots = first_slots.as<int32_t>();
  CHECK(device->GroupedLinear(wide.view(), x.view(), weights, slots).code() == kRefused);
  CHECK(device->GroupedLinear(out.view().Rows(0, 5), x.view(), weights, slots).code() == kRefused);
  const HostMatrix part = {matrix.data(), DType::kBF16, 64, 64};
  std::vector<std::unique_ptr<LinearWeight>> biased;
  biased.push_back(*device->PackLinear(std::span(&part, 1), std::vector<float>(64, 1.0f)));
  CHECK(device->GroupedLinear(out.view(), x.view(), biased, slots).code() == kRefused);
  CHECK(device->GroupedLinear(out.view(), x.view(), weights, slots).ok());
}

}  // namespace
}  // namespace sparsed::kernels
