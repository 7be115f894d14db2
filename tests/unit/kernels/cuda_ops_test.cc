// Every other operation on the device against the host. Without a device the cases have nothing to
// run on and say so.
#include <bit>

#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels {
namespace {

// Random values that repeat after a million or so: large matrices are made fast.
std::vector<uint16_t> Repeated(size_t count, uint32_t seed, float scale) {
  const std::vector<uint16_t> distinct =
      RandomBf16(std::min<size_t>(count, 1'000'003), seed, scale);
  std::vector<uint16_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = distinct[i % distinct.size()];
  return values;
}

struct ProductCase {
  int in;
  int out;
  DType dtype;
  bool accumulate;
};

// One weight of a case, and what all row counts are compared with: a product of so many rows that
// the reference algorithm serves it.
struct ProductOnDevice {
  static constexpr int kMost = 4096;

  ProductOnDevice(Backend& backend, const ProductCase& shape)
      : device(backend),
        test(shape),
        weights(Repeated(static_cast<size_t>(shape.in) * shape.out, 3, 0.05f)),
        x(Repeated(static_cast<size_t>(kMost) * shape.in, 4, 1)),
        start(Repeated(static_cast<size_t>(kMost) * shape.out, 5, 1)) {
    const HostMatrix part = {weights.data(), DType::kBF16, shape.out, shape.in};
    auto packed = device.PackLinear(std::span(&part, 1), {});
    REQUIRE(packed.ok());
    weight = std::move(*packed);
    x_device = Upload(device, x);
  }

  std::vector<char> Run(int rows) {
    const size_t row_bytes = test.out * DTypeBytes(test.dtype);
    auto y = device.Alloc(rows * row_bytes);
    REQUIRE(y.ok());
    if (test.accumulate) REQUIRE(device.CopyIn(y->data(), start.data(), rows * row_bytes).ok());
    REQUIRE(device
                .Linear(View(*y, test.dtype, rows, test.out),
                        View(x_device, DType::kBF16, rows, test.in), *weight, test.accumulate)
                .ok());
    return Download<char>(device, y->data(), rows * row_bytes);
  }

  Backend& device;
  ProductCase test;
  std::vector<uint16_t> weights;
  std::vector<uint16_t> x;
  std::vector<uint16_t> start;
  std::unique_ptr<LinearWeight> weight;
  Buffer x_device;
};

TEST_CASE("a product's row on the device does not depend on the number of rows") {
  const auto device = Device();
  if (!device) return;
  constexpr DType kB = DType::kBF16;
  constexpr DType kF = DType::kF32;
  // The shapes of nano and of an 8B model; every number of rows at which the algorithm may change.
  for (const ProductCase& test : std::vector<ProductCase>{{384, 1152, kB, false},
                                                          {384, 2048, kB, false},
                                                          {1024, 384, kB, true},
                                                          {384, 4096, kF, false},
                                                          {4096, 4096, kB, true},
                                                          {4096, 8192, kB, false},
                                                          {4096, 12288, kB, false},
                                                          {4096, 24576, kB, false},
                                                          {12288, 4096, kB, true},
                                                          {4096, 12288, kF, false}}) {
    CAPTURE(test.in, test.out, test.dtype, test.accumulate);
    ProductOnDevice product(*device, test);
    const std::vector<char> want = product.Run(ProductOnDevice::kMost);
    for (const int rows : {1,   16,  17,  31,  32,  33,  64,   65,   100,  128,
                           129, 256, 257, 500, 512, 513, 1024, 1025, 2048, 2049}) {
      CAPTURE(rows);
      const std::vector<char> got = product.Run(rows);
      REQUIRE(std::equal(got.begin(), got.end(), want.begin()));
    }
    double exact = test.accumulate ? static_cast<double>(FromBits(product.start[0])) : 0;
    for (int k = 0; k < test.in; ++k) {
      exact += static_cast<double>(FromBits(product.x[k])) *
               static_cast<double>(FromBits(product.weights[k]));
    }
    float first = 0;
    uint16_t bits = 0;
    std::memcpy(&first, want.data(), 4);
    std::memcpy(&bits, want.data(), 2);
    REQUIRE((test.dtype == kF ? first : FromBits(bits)) ==
            Approx(exact).epsilon(0.01).margin(1e-2));
  }
}

TEST_CASE("a bias is added to a product on the device before it is rounded") {
  const auto device = Device();
  if (!device) return;
  constexpr int kIn = 384;
  constexpr int kOut = 1152;
  const std::vector<uint16_t> weights = RandomBf16(kIn * kOut, 6, 0.05f);
  std::vector<float> bias(kOut);
  const std::vector<uint16_t> bias_bits = RandomBf16(kOut, 7, 3);
  std::transform(bias_bits.begin(), bias_bits.end(), bias.begin(), FromBits);
  const HostMatrix part = {weights.data(), DType::kBF16, kOut, kIn};
  auto packed = device->PackLinear(std::span(&part, 1), bias);
  REQUIRE(packed.ok());
  REQUIRE((*packed)->has_bias);
  std::vector<uint16_t> first;  // row 0, the same whatever follows it
  for (const int rows : {1, 33, 300}) {
    CAPTURE(rows);
    const std::vector<uint16_t> x = RandomBf16(rows * kIn, 8, 1);
    const Buffer x_device = Upload(*device, x);
    // NaN before: initcheck does not see what the library's kernels write.
    const Buffer y = Upload(*device, std::vector<uint16_t>(rows * kOut, 0xffff));
    const TensorView out = View(y, DType::kBF16, rows, kOut);
    const TensorView in = View(x_device, DType::kBF16, rows, kIn);
    REQUIRE(device->Linear(out, in, **packed, /*accumulate=*/false).ok());
    const auto got = Download<uint16_t>(*device, y.data(), rows * kOut);
    double worst = 0;
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < kOut; c += 7) {
        double exact = bias[c];
        for (int k = 0; k < kIn; ++k) {
          exact += double{FromBits(x[r * kIn + k])} * FromBits(weights[c * kIn + k]);
        }
        // One rounding to bf16, and what float32 sums leave.
        const double error = std::abs(FromBits(got[r * kOut + c]) - exact);
        worst = std::max(worst, error / (std::abs(exact) / 256 + 1e-4));
      }
    }
    REQUIRE(worst <= 1);
    if (first.empty()) first.assign(got.begin(), got.begin() + kOut);
    REQUIRE(std::equal(first.begin(), first.end(), got.begin()));
    REQUIRE(device->Linear(out, in, **packed, /*accumulate=*/true).code() ==
            absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("set bits are counted on the device") {
  const auto device = Device();
  if (!device) return;
  for (const size_t words : {1, 31, 1000, 700'001}) {
    std::mt19937_64 generator(words);
    std::vector<uint64_t> bits(words + 1);
    int64_t want = 0;
    for (uint64_t& word : bits) word = generator() & generator();
    for (size_t i = 0; i < words; ++i) want += std::popcount(bits[i]);
    const Buffer device_bits = Upload(*device, bits);
    const Buffer count = Upload(*device, std::vector<int64_t>{-1, -1});
    REQUIRE(device->CountBits(device_bits.as<uint64_t>(), words, count.as<int64_t>()).ok());
    const auto got = Download<int64_t>(*device, count.data(), 2);
    REQUIRE(got[0] == want);
    REQUIRE(got[1] == -1);
  }
}

TEST_CASE("marks on the device time what was issued between them") {
  const auto device = Device();
  if (!device) return;
  auto memory = device->Alloc(size_t{1} << 28);
  REQUIRE(memory.ok());
  const auto copy = [&](int times) {
    const int64_t cols = 8192;
    const int64_t rows = 4096;
    const Buffer order = Upload(*device, std::vector<int32_t>(rows, 0));
    for (int i = 0; i < times; ++i) {
      REQUIRE(device
                  ->GatherRows(View(*memory, DType::kBF16, rows, cols),
                               View(*memory, DType::kBF16, rows, cols), order.as<int32_t>())
                  .ok());
    }
    REQUIRE(device->Sync().ok());
  };
  std::vector<double> seconds(2, 0.0);
  for (int repeat = 0; repeat < 3; ++repeat) {  // the events are used again
    seconds.assign(2, 0.0);
    REQUIRE(device->Mark(-1).ok());
    copy(1);
    REQUIRE(device->Mark(0).ok());
    copy(50);
    REQUIRE(device->Mark(1).ok());
    copy(50);
    REQUIRE(device->Mark(-1).ok());
    REQUIRE(device->ReadMarks(seconds).ok());
  }
  REQUIRE(seconds[0] > 0);
  REQUIRE(seconds[1] > 3 * seconds[0]);
  std::vector<double> none(2, 0.0);
  REQUIRE(device->ReadMarks(none).ok());
  REQUIRE(none == std::vector<double>(2, 0.0));
}

TEST_CASE("row operations on the device match the host") {
  const auto device = Device();
  if (!device) return;
  const int cols = GENERATE(128, 384, 3584, 4096, 9216);
  const int rows = 37, dim = cols == 384 ? 64 : 128;
  const auto x = RandomBf16(static_cast<size_t>(rows) * cols, 6);
  const auto at = [&](int r, int c) { return FromBits(x[static_cast<size_t>(r) * cols + c]); };
  const Buffer x_device = Upload(*device, x);
  Buffer out = Upload(*device, std::vector<uint16_t>(static_cast<size_t>(rows) * cols, 0x7fc0));

  std::vector<float> weight(cols);
  for (int c = 0; c < cols; ++c) weight[c] = Round(0.5f + 0.01f * static_cast<float>(c));
  const Buffer weight_device = Upload(*device, weight);
  REQUIRE(device
              ->RmsNorm(View(out, DType::kBF16, rows, cols),
                        View(x_device, DType::kBF16, rows, cols), weight_device.as<float>(), 1e-5f)
              .ok());
  auto got = Download<uint16_t>(*device, out.data(), static_cast<size_t>(rows) * cols);
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int c = 0; c < cols; ++c)
      sum += static_cast<double>(at(r, c)) * static_cast<double>(at(r, c));
    const double inverse = 1 / std::sqrt(sum / cols + 1e-5);
    for (int c = 0; c < cols; ++c) {
      REQUIRE(FromBits(got[static_cast<size_t>(r) * cols + c]) ==
              Approx(at(r, c) * inverse * weight[c]).epsilon(0.009).margin(1e-6));
    }
  }

  std::vector<int32_t> positions(rows);
  for (int r = 0; r < rows; ++r) positions[r] = r * 7 % 50;
  std::vector<float> table(50 * dim);
  for (int p = 0; p < 50; ++p) {
    for (int j = 0; j < dim / 2; ++j) {
      table[p * dim + j] = std::cos(0.1f * static_cast<float>(p * (j + 1)));
      table[p * dim + dim / 2 + j] = std::sin(0.1f * static_cast<float>(p * (j + 1)));
    }
  }
  const Buffer positions_device = Upload(*device, positions);
  const Buffer table_device = Upload(*device, table);
  const Buffer turned = Upload(*device, x);
  REQUIRE(device
              ->Rope(View(turned, DType::kBF16, rows, cols), positions_device.as<int32_t>(),
                     table_device.as<float>(), dim)
              .ok());
  got = Download<uint16_t>(*device, turned.data(), static_cast<size_t>(rows) * cols);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) {
      const int j = c % dim % (dim / 2);
      const float cosine = table[positions[r] * dim + j];
      const float sine = table[positions[r] * dim + dim / 2 + j];
      const float want = c % dim < dim / 2 ? at(r, c) * cosine - at(r, c + dim / 2) * sine
                                           : at(r, c) * cosine + at(r, c - dim / 2) * sine;
      REQUIRE(FromBits(got[static_cast<size_t>(r) * cols + c]) ==
              Approx(want).epsilon(0.005).margin(1e-6));
    }
  }

  Buffer half =
      Upload(*device, std::vector<uint16_t>(static_cast<size_t>(rows) * cols / 2, 0x7fc0));
  REQUIRE(device
              ->SiluMul(View(half, DType::kBF16, rows, cols / 2),
                        View(x_device, DType::kBF16, rows, cols))
              .ok());
  got = Download<uint16_t>(*device, half.data(), static_cast<size_t>(rows) * cols / 2);
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols / 2; ++c) {
      const double g = at(r, c);
      REQUIRE(FromBits(got[static_cast<size_t>(r) * cols / 2 + c]) ==
              Approx(g / (1 + std::exp(-g)) * at(r, c + cols / 2)).epsilon(0.009).margin(1e-6));
    }
  }

  std::vector<int32_t> order = {5, 0, 36, 5, 11};
  const Buffer order_device = Upload(*device, order);
  REQUIRE(device
              ->GatherRows(View(out, DType::kBF16, 5, cols),
                           View(x_device, DType::kBF16, rows, cols), order_device.as<int32_t>())
              .ok());
  auto gathered = Download<uint16_t>(*device, out.data(), 5 * cols);
  REQUIRE(device
              ->Embed(View(out, DType::kBF16, 5, cols), View(x_device, DType::kBF16, rows, cols),
                      order_device.as<int32_t>())
              .ok());
  REQUIRE(Download<uint16_t>(*device, out.data(), 5 * cols) == gathered);
  for (int r = 0; r < 5; ++r) {
    for (int c = 0; c < cols; ++c) {
      REQUIRE(gathered[static_cast<size_t>(r) * cols + c] ==
              x[static_cast<size_t>(order[r]) * cols + c]);
    }
  }
}

TEST_CASE("sampling and commits on the device equal the CPU's") {
  const auto device = Device();
  if (!device) return;
  auto cpu = CreateBackend({"cpu", 1});
  REQUIRE(cpu.ok());
  const int rows = 150, vocab = 5003;
  std::mt19937 generator(8);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(static_cast<size_t>(rows) * vocab);
  for (float& x : logits) x = normal(generator);
  for (int v = 0; v < 30; ++v) logits[v * 100] = 20;  // ties: the lowest wins
  logits[3 * vocab + 17] = std::numeric_limits<float>::quiet_NaN();
  std::vector<SampleRow> samples;
  for (int r = 0; r + 1 < rows; ++r) {
    SampleRow row;
    row.row = r;
    row.temperature = r % 3 == 0 ? 0.0f : 0.7f;
    constexpr ConfidenceRule kRules[] = {
        ConfidenceRule::kProbability, ConfidenceRule::kSampledProbability, ConfidenceRule::kMargin,
        ConfidenceRule::kNegativeEntropy, ConfidenceRule::kRandom};
    row.rule = kRules[r % 5];
    if (r % 4 == 1) row.top_p = 0.8f;
    if (r % 8 == 5 || r % 8 == 2) row.top_k = 9;
    if (r % 10 == 0) row.unsure_tokens[r % 2] = 17;
    if (r % 10 == 5) row.forbidden_token = 0;
    // Of the greedy rows, with filters and end tokens that change nothing of it.
    if (r % 6 == 0) row.target_token = r * 31 % vocab;
    row.seed = 1000 + r / 2;
    row.step = r % 7;
    row.position = r * 3;
    if (r % 11 == 10) {
      row.uncond_row = rows - 1;
      row.cfg_scale = 1.5f;
    }
    samples.push_back(row);
  }
  const auto run = [&](Backend& backend, std::vector<int32_t>* tokens,
                       std::vector<float>* confidences, std::vector<float>* log_probabilities,
                       std::vector<int32_t>* chosen) {
    const Buffer data = Upload(backend, logits);
    const Buffer token_buffer = Upload(backend, std::vector<int32_t>(samples.size(), -1));
    const Buffer confidence_buffer = Upload(backend, std::vector<float>(samples.size(), -1));
    const Buffer log_probability_buffer = Upload(backend, std::vector<float>(samples.size(), 1));
    REQUIRE(backend
                .SampleRows(View(data, DType::kF32, rows, vocab), samples,
                            {token_buffer.as<int32_t>(), confidence_buffer.as<float>(),
                             log_probability_buffer.as<float>()})
                .ok());
    *tokens = Download<int32_t>(backend, token_buffer.data(), samples.size());
    *confidences = Download<float>(backend, confidence_buffer.data(), samples.size());
    *log_probabilities = Download<float>(backend, log_probability_buffer.data(), samples.size());
    std::vector<float> ranked(300);
    for (int i = 0; i < 300; ++i) ranked[i] = static_cast<float>(i * 37 % 50) / 50;
    const Buffer ranked_buffer = Upload(backend, ranked);
    const std::vector<CommitGroup> groups = {
        {0, 100, 7}, {100, 3, 3}, {103, 0, 0}, {103, 197, 60, 0.2f, 7, 3}};
    const Buffer chosen_buffer = Upload(backend, std::vector<int32_t>(70, -1));
    REQUIRE(
        backend.CommitRows(ranked_buffer.as<float>(), groups, chosen_buffer.as<int32_t>()).ok());
    *chosen = Download<int32_t>(backend, chosen_buffer.data(), 70);
  };
  std::vector<int32_t> tokens, want_tokens, chosen, want_chosen;
  std::vector<float> confidences, want_confidences, log_probabilities, want_log_probabilities;
  run(*device, &tokens, &confidences, &log_probabilities, &chosen);
  run(**cpu, &want_tokens, &want_confidences, &want_log_probabilities, &want_chosen);
  REQUIRE(chosen == want_chosen);
  for (size_t i = 0; i < samples.size(); ++i) {
    INFO("row " << i);
    if (i == 3) {
      REQUIRE(std::isnan(confidences[i]));
      continue;
    }
    REQUIRE(tokens[i] == want_tokens[i]);
    REQUIRE(log_probabilities[i] == Approx(want_log_probabilities[i]).margin(1e-5));
    REQUIRE(confidences[i] == Approx(want_confidences[i]).epsilon(1e-4).margin(1e-6));
  }
}

}  // namespace
}  // namespace sparsed::kernels
