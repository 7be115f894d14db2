// Every other operation on the device against the host. Without a device the cases have nothing to
// run on and say so.
#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels {
namespace {

TEST_CASE("a product's row on the device does not depend on the number of rows") {
  const auto device = Device();
  if (!device) return;
  for (const auto& [in, out] : std::vector<std::pair<int, int>>{
           {384, 1152}, {384, 2048}, {1024, 384}, {384, 4096}, {4096, 12288}}) {
    const auto weights = RandomBf16(static_cast<size_t>(in) * out, 3, 0.05f);
    const HostMatrix part = {weights.data(), DType::kBF16, out, in};
    auto weight = device->PackLinear(std::span(&part, 1));
    REQUIRE(weight.ok());
    const int most = 1024;
    const auto x = RandomBf16(static_cast<size_t>(most) * in, 4);
    const Buffer x_device = Upload(*device, x);
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      const size_t unit = DTypeBytes(dtype);
      std::vector<char> want;
      for (const int rows : {most, 1, 2, 31, 128, 129, 500}) {
        Buffer y = Upload(*device, std::vector<char>(static_cast<size_t>(most) * out * unit, 0x7f));
        REQUIRE(device
                    ->Linear(View(y, dtype, rows, out), View(x_device, DType::kBF16, rows, in),
                             **weight, false)
                    .ok());
        const auto got = Download<char>(*device, y.data(), static_cast<size_t>(rows) * out * unit);
        if (rows == most) want = got;
        REQUIRE(std::equal(got.begin(), got.end(), want.begin()));
      }
      double exact = 0;
      for (int k = 0; k < in; ++k) {
        exact += static_cast<double>(FromBits(x[k])) * static_cast<double>(FromBits(weights[k]));
      }
      float first = 0;
      if (dtype == DType::kF32) {
        std::memcpy(&first, want.data(), 4);
        REQUIRE(first == Approx(exact).margin(1e-3));
      } else {
        uint16_t bits = 0;
        std::memcpy(&bits, want.data(), 2);
        REQUIRE(FromBits(bits) == Approx(exact).epsilon(0.01).margin(1e-2));
      }
    }
  }
}

TEST_CASE("row operations on the device match the host") {
  const auto device = Device();
  if (!device) return;
  const int rows = 37, cols = 384, dim = 64;
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
    row.rule = r % 5 == 4 ? ConfidenceRule::kRandom : ConfidenceRule::kProbability;
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
                       std::vector<float>* confidences, std::vector<int32_t>* chosen) {
    const Buffer data = Upload(backend, logits);
    const Buffer token_buffer = Upload(backend, std::vector<int32_t>(samples.size(), -1));
    const Buffer confidence_buffer = Upload(backend, std::vector<float>(samples.size(), -1));
    REQUIRE(backend
                .SampleRows(View(data, DType::kF32, rows, vocab), samples,
                            token_buffer.as<int32_t>(), confidence_buffer.as<float>())
                .ok());
    *tokens = Download<int32_t>(backend, token_buffer.data(), samples.size());
    *confidences = Download<float>(backend, confidence_buffer.data(), samples.size());
    std::vector<float> ranked(300);
    for (int i = 0; i < 300; ++i) ranked[i] = static_cast<float>(i * 37 % 50) / 50;
    const Buffer ranked_buffer = Upload(backend, ranked);
    const std::vector<CommitGroup> groups = {{0, 100, 7}, {100, 3, 3}, {103, 0, 0}, {103, 197, 60}};
    const Buffer chosen_buffer = Upload(backend, std::vector<int32_t>(70, -1));
    REQUIRE(
        backend.CommitRows(ranked_buffer.as<float>(), groups, chosen_buffer.as<int32_t>()).ok());
    *chosen = Download<int32_t>(backend, chosen_buffer.data(), 70);
  };
  std::vector<int32_t> tokens, want_tokens, chosen, want_chosen;
  std::vector<float> confidences, want_confidences;
  run(*device, &tokens, &confidences, &chosen);
  run(**cpu, &want_tokens, &want_confidences, &want_chosen);
  REQUIRE(chosen == want_chosen);
  for (size_t i = 0; i < samples.size(); ++i) {
    INFO("row " << i);
    if (i == 3) {
      REQUIRE(std::isnan(confidences[i]));
      continue;
    }
    REQUIRE(tokens[i] == want_tokens[i]);
    REQUIRE(confidences[i] == Approx(want_confidences[i]).epsilon(1e-4));
  }
}

}  // namespace
}  // namespace sparsed::kernels
