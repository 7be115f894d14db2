#include "tests/bench/attention_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/request.h"
#include "engine/status_macros.h"
#include "engine/step_scheduler.h"
#include "engine/step_times.h"
#include "kernels/half.h"
#include "tests/bench/measure.h"
#include "tests/bench/progress.h"
#include "tests/bench/setup.h"
#include "tests/bench/table.h"

namespace sparsed::bench {
namespace {

using Json = nlohmann::ordered_json;
using kernels::AttentionMode;

constexpr int kDefaultRepeat = 10;

// One thing to measure.
struct Case {
  std::string name;
  AttentionMode mode = AttentionMode::kFull;
  kernels::Buffer mask_bits;
  kernels::BlockMaskView mask;
  double density = 1;
  std::vector<double> seconds;
};

struct Inputs {
  kernels::Buffer q, k, v, out;
  kernels::AttentionParams params;  // without the sequences
};

// Normal numbers as the backend computes with them.
absl::Status FillRandom(kernels::Backend& backend, kernels::Buffer& buffer, int64_t count,
                        uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  const size_t size = kernels::DTypeBytes(backend.Info().activation_dtype);
  std::vector<char> values(count * size);
  for (int64_t i = 0; i < count; ++i) {
    const float value = normal(random);
    const uint16_t rounded = kernels::RoundToBF16(value);
    std::memcpy(values.data() + i * size,
                size == 2 ? static_cast<const void*>(&rounded) : static_cast<const void*>(&value),
                size);
  }
  SPARSED_ASSIGN_OR_RETURN(buffer, backend.Alloc(values.size()));
  return backend.CopyIn(buffer.data(), values.data(), buffer.bytes());
}

absl::StatusOr<Inputs> MakeInputs(kernels::Backend& backend, const engine::ModelInfo& model,
                                  int32_t context) {
  const kernels::BackendInfo info = backend.Info();
  const int64_t rows = (context + info.row_alignment - 1) / info.row_alignment * info.row_alignment;
  const int64_t q_cols = int64_t{model.num_heads} * model.head_dim;
  const int64_t kv_cols = int64_t{model.num_kv_heads} * model.head_dim;
  Inputs inputs;
  SPARSED_RETURN_IF_ERROR(FillRandom(backend, inputs.q, rows * q_cols, 1));
  SPARSED_RETURN_IF_ERROR(FillRandom(backend, inputs.k, rows * kv_cols, 2));
  SPARSED_RETURN_IF_ERROR(FillRandom(backend, inputs.v, rows * kv_cols, 3));
  SPARSED_ASSIGN_OR_RETURN(inputs.out, backend.Alloc(inputs.q.bytes()));
  const auto view = [&](const kernels::Buffer& buffer, int64_t cols) {
    return kernels::TensorView{buffer.data(), info.activation_dtype, rows, cols, cols};
  };
  inputs.params.out = view(inputs.out, q_cols);
  inputs.params.q = view(inputs.q, q_cols);
  inputs.params.k = view(inputs.k, kv_cols);
  inputs.params.v = view(inputs.v, kv_cols);
  inputs.params.num_heads = model.num_heads;
  inputs.params.num_kv_heads = model.num_kv_heads;
  inputs.params.head_dim = model.head_dim;
  inputs.params.scale = 1.0f / std::sqrt(static_cast<float>(model.head_dim));
  return inputs;
}

// A pattern that keeps the same number of random key blocks in every row, at least one. density
// becomes the kept share of the scores, the shorter last block counted as such.
absl::Status MakePattern(kernels::Backend& backend, int64_t context, uint32_t seed, Case& item) {
  kernels::BlockMaskView host = item.mask;
  std::vector<uint64_t> bits(host.Bytes() / sizeof(uint64_t), 0);
  host.bits = bits.data();
  const int32_t blocks = host.num_blocks;
  const int32_t keep =
      std::clamp(static_cast<int32_t>(std::lround(item.density * blocks)), 1, blocks);
  std::mt19937 random(seed);
  std::vector<int32_t> columns(blocks);
  for (int32_t i = 0; i < blocks; ++i) columns[i] = i;
  const auto width = [&](int32_t block) {
    return static_cast<double>(
        std::min<int64_t>(host.block_size, context - int64_t{block} * host.block_size));
  };
  double kept = 0;
  for (int32_t head = 0; head < host.num_heads; ++head) {
    for (int32_t row = 0; row < blocks; ++row) {
      std::shuffle(columns.begin(), columns.end(), random);
      for (int32_t i = 0; i < keep; ++i) {
        host.Row(head, row)[columns[i] / 64] |= uint64_t{1} << (columns[i] % 64);
        kept += width(row) * width(columns[i]);
      }
    }
  }
  item.density = kept / (static_cast<double>(context) * context * host.num_heads);
  return backend.CopyIn(item.mask_bits.data(), bits.data(), bits.size() * sizeof(uint64_t));
}

absl::StatusOr<std::vector<Case>> MakeCases(const Options& options, kernels::Backend& backend,
                                            const engine::ModelInfo& model, int32_t context,
                                            const engine::SparsePlan& plan) {
  std::vector<Case> cases(2);
  cases[0].name = "full";
  cases[1].name = "full+select";
  cases[1].mode = AttentionMode::kFullSelect;
  std::vector<double> densities = options.densities;
  if (options.sparse.select.has_value()) densities = {*options.sparse.select};
  for (const double density : densities) {
    Case item;
    item.name = "sparse";
    item.mode = AttentionMode::kSparse;
    item.density = density;
    cases.push_back(std::move(item));
  }
  if (options.sparse.mode == engine::SparseMode::kOff) cases.resize(1);
  uint32_t seed = 0;
  for (Case& item : cases) {
    if (item.mode == AttentionMode::kFull) continue;
    item.mask = {nullptr, model.num_heads, plan.num_blocks, plan.block_size};
    SPARSED_ASSIGN_OR_RETURN(item.mask_bits, backend.Alloc(item.mask.Bytes()));
    item.mask.bits = item.mask_bits.as<uint64_t>();
    if (item.mode == AttentionMode::kSparse) {
      SPARSED_RETURN_IF_ERROR(MakePattern(backend, context, ++seed, item));
    }
  }
  return cases;
}

absl::Status Measure(kernels::Backend& backend, const Inputs& inputs, int32_t context,
                     const engine::SparsePlan& plan, bool keep, Case& item) {
  kernels::AttentionSequence sequence;
  sequence.num_tokens = context;
  sequence.mode = item.mode;
  sequence.mask = item.mask;
  sequence.selection.first_canvas_block = plan.first_canvas_block;
  sequence.selection.keep_prompt = plan.keep_prompt;
  sequence.selection.keep_canvas = plan.keep_canvas;
  sequence.selection.scale = plan.scale;
  kernels::AttentionParams params = inputs.params;
  params.sequences = std::span(&sequence, 1);
  double seconds = 0;
  engine::Stopwatch watch;
  SPARSED_RETURN_IF_ERROR(backend.Attention(params));
  SPARSED_RETURN_IF_ERROR(backend.Sync());
  watch.Lap(seconds);
  if (keep) item.seconds.push_back(seconds);
  return absl::OkStatus();
}

Json Report(const engine::ModelInfo& model, int32_t context, double peak_gflops,
            const std::vector<Case>& cases) {
  Json rows = Json::array();
  std::vector<std::vector<std::string>> table = {{"attention, ms", "density", "median", "p10",
                                                  "p90", "GFLOP/s", "of peak", "of full",
                                                  "of full / density"}};
  const double full = Summarize(cases[0].seconds).median;
  for (const Case& item : cases) {
    const Summary summary = Summarize(item.seconds);
    const double gflops = 1e-9 *
                          AttentionFlops(model.num_heads, model.head_dim, context, item.density) /
                          summary.median;
    const double ratio = summary.median / full;
    rows.push_back({{"mode", item.name},
                    {"density", item.density},
                    {"seconds", ToJson(summary)},
                    {"gflops", gflops},
                    {"share_of_peak", gflops / peak_gflops},
                    {"over_full", ratio}});
    table.push_back({item.name, Fixed(item.density, 3), Milliseconds(summary.median),
                     Milliseconds(summary.p10), Milliseconds(summary.p90), Fixed(gflops, 1),
                     Percent(gflops / peak_gflops), Fixed(ratio, 3),
                     Fixed(ratio / item.density, 2)});
  }
  PrintTable(table);
  return rows;
}

}  // namespace

absl::StatusOr<Json> AttentionBench(const Options& options, kernels::Backend& backend,
                                    const engine::ModelInfo& model, int32_t context,
                                    double peak_gflops) {
  const int repeat = options.repeat > 0 ? options.repeat : kDefaultRepeat;
  const engine::SparsePlan plan =
      engine::PlanSparse(MakeBenchRequest(options, model, context, 0), model);
  SPARSED_ASSIGN_OR_RETURN(const Inputs inputs, MakeInputs(backend, model, context));
  SPARSED_ASSIGN_OR_RETURN(std::vector<Case> cases,
                           MakeCases(options, backend, model, context, plan));
  {
    Progress progress(absl::StrCat("attention at ", context, " tokens"), repeat + 1);
    for (int i = 0; i <= repeat; ++i) {
      for (Case& item : cases) {
        SPARSED_RETURN_IF_ERROR(Measure(backend, inputs, context, plan, /*keep=*/i > 0, item));
      }
      progress.Advance();
    }
  }
  std::printf("\n%d tokens, %d heads of %d (%d key heads), block %d, one layer\n", context,
              model.num_heads, model.head_dim, model.num_kv_heads, plan.block_size);
  Json result = {{"context", context},
                 {"num_heads", model.num_heads},
                 {"num_kv_heads", model.num_kv_heads},
                 {"head_dim", model.head_dim},
                 {"block_size", plan.block_size}};
  result["cases"] = Report(model, context, peak_gflops, cases);
  return result;
}

}  // namespace sparsed::bench
