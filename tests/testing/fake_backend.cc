#include "tests/testing/fake_backend.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace sparsed::testing {
namespace {

constexpr size_t kAlignment = 64;

uint64_t Hash(uint64_t seed, uint64_t step, uint64_t position) {
  uint64_t state = seed * 0x9e3779b97f4a7c15u + step * 0xbf58476d1ce4e5b9u + position + 1;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
  return state ^ (state >> 31);
}

void ZeroRows(const kernels::TensorView& view) {
  const size_t element = kernels::DTypeBytes(view.dtype);
  for (int64_t row = 0; row < view.rows; ++row) {
    std::memset(static_cast<char*>(view.data) + row * view.stride * element, 0,
                view.cols * element);
  }
}

// The query blocks that are asked for: [first, last).
struct QueryBlocks {
  int32_t first = 0;
  int32_t last = 0;
};

QueryBlocks BlocksOf(const kernels::AttentionSequence& sequence) {
  const kernels::BlockMaskView& mask = sequence.mask;
  if (!sequence.queries) return {0, mask.num_blocks};
  const int64_t end = sequence.queries->first_token + sequence.queries->num_tokens;
  return {static_cast<int32_t>(sequence.queries->first_token / mask.block_size),
          static_cast<int32_t>((end + mask.block_size - 1) / mask.block_size)};
}

void SelectEvenBlocks(const kernels::BlockMaskView& mask, const QueryBlocks& queries) {
  for (int32_t head = 0; head < mask.num_heads; ++head) {
    for (int32_t query = queries.first; query < queries.last; ++query) {
      uint64_t* row = mask.Row(head, query);
      std::fill(row, row + mask.WordsPerRow(), 0);
      for (int32_t key = 0; key < mask.num_blocks; ++key) {
        if (key % 2 == 0 || key == mask.num_blocks - 1) row[key / 64] |= uint64_t{1} << (key % 64);
      }
    }
  }
}

// All mass on the columns before the last one, where there are more, in equal parts.
void FillColumns(float* importance, int64_t rows, int32_t columns) {
  if (importance == nullptr) return;
  for (int64_t i = 0; i < rows * columns; ++i) {
    const bool last = columns > 1 && i % columns == columns - 1;
    importance[i] = last ? 0.0f : 1.0f / static_cast<float>(columns);
  }
}

void FillImportance(const kernels::AttentionSequence& sequence, const QueryBlocks& queries) {
  const kernels::BlockSelection& selection = sequence.selection;
  const int32_t n = sequence.mask.num_blocks;
  const int64_t rows = int64_t{sequence.mask.num_heads} * (queries.last - queries.first);
  FillColumns(selection.importance, rows, n);
  FillColumns(selection.canvas_importance, rows, n - selection.first_canvas_block);
}

}  // namespace

FakeBackend::FakeBackend(FakeBackendOptions options) : options_(std::move(options)) {}

FakeBackend::~FakeBackend() { SPARSED_CHECK(allocated_bytes_ == 0, "memory outlives its backend"); }

int32_t FakeBackend::TokenFor(uint64_t seed, uint32_t step, uint32_t position, int32_t vocab_size,
                              int32_t mask_token_id) {
  const int32_t token = static_cast<int32_t>(Hash(seed, step, position) % vocab_size);
  return token == mask_token_id ? (token + 1) % vocab_size : token;
}

absl::Status FakeBackend::Call(const char* operation) {
  ++calls_;
  ++calls_of_[operation];
  if (calls_until_failure_ < 0 || calls_until_failure_-- > 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(operation, ": made to fail"));
}

kernels::BackendInfo FakeBackend::Info() const {
  ++info_calls_;
  kernels::BackendInfo info;
  info.device = options_.device;
  info.description = "a backend without arithmetic, for tests";
  info.row_alignment = options_.row_alignment;
  info.has_experts = options_.has_experts;
  info.memory_total_bytes = options_.memory_bytes;
  info.memory_free_bytes = options_.memory_bytes - allocated_bytes_;
  info.allocated_bytes = allocated_bytes_;
  return info;
}

absl::StatusOr<kernels::Buffer> FakeBackend::Alloc(size_t bytes) {
  if (!Call("Alloc").ok() || allocated_bytes_ + bytes > options_.memory_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("Alloc: no room for ", bytes, " bytes"));
  }
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, std::max(rounded, kAlignment));
  allocated_bytes_ += bytes;
  return kernels::Buffer(data, bytes, [this](void* memory, size_t size) {
    allocated_bytes_ -= size;
    std::free(memory);
  });
}

absl::Status FakeBackend::CopyIn(void* device_dst, const void* host_src, size_t bytes) {
  if (bytes > 0) std::memcpy(device_dst, host_src, bytes);
  return Call("CopyIn");
}

absl::Status FakeBackend::CopyOut(void* host_dst, const void* device_src, size_t bytes) {
  if (bytes > 0) std::memcpy(host_dst, device_src, bytes);
  return Call("CopyOut");
}

absl::Status FakeBackend::Sync() { return Call("Sync"); }

absl::Status FakeBackend::Mark(int32_t part) {
  clock_.Mark(part);
  return Call("Mark");
}

absl::Status FakeBackend::ReadMarks(std::span<double> seconds) {
  clock_.Read(seconds);
  return Call("ReadMarks");
}

absl::Status FakeBackend::CountBits(const uint64_t* words, int64_t num_words, int64_t* count) {
  *count = 0;
  for (int64_t i = 0; i < num_words; ++i) *count += std::popcount(words[i]);
  return Call("CountBits");
}

absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> FakeBackend::PackLinear(
    std::span<const kernels::HostMatrix> parts, std::span<const float> bias) {
  if (const absl::Status status = Call("PackLinear"); !status.ok()) return status;
  auto weight = std::make_unique<kernels::LinearWeight>();
  weight->in_features = parts.front().cols;
  for (const kernels::HostMatrix& part : parts) weight->out_features += part.rows;
  SPARSED_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == weight->out_features,
                "a bias of another size");
  weight->has_bias = !bias.empty();
  return weight;
}

absl::Status FakeBackend::Embed(kernels::TensorView out, kernels::TensorView table,
                                const int32_t* ids) {
  if (options_.on_rows) options_.on_rows(out.rows);
  if (options_.on_step) options_.on_step();
  if (options_.step_delay.count() > 0) std::this_thread::sleep_for(options_.step_delay);
  for (int64_t row = 0; row < out.rows; ++row) {
    SPARSED_CHECK(ids[row] >= 0 && ids[row] < table.rows, "id beyond the embedding");
    float* values = static_cast<float*>(out.data) + row * out.stride;
    std::fill(values, values + out.cols, static_cast<float>(ids[row]));
  }
  return Call("Embed");
}

absl::Status FakeBackend::RmsNorm(kernels::TensorView out, kernels::TensorView x,
                                  const float* /*weight*/, float /*eps*/) {
  if (out.data != x.data) ZeroRows(out);
  return Call("RmsNorm");
}

absl::Status FakeBackend::Linear(kernels::TensorView out, kernels::TensorView x,
                                 const kernels::LinearWeight& weight, bool accumulate) {
  SPARSED_CHECK(x.cols == weight.in_features && out.cols == weight.out_features, "Linear: shapes");
  SPARSED_CHECK(!accumulate || !weight.has_bias, "Linear: a bias is not accumulated");
  if (!accumulate) ZeroRows(out);
  return Call("Linear");
}

absl::Status FakeBackend::Rope(kernels::TensorView /*x*/, const int32_t* /*positions*/,
                               const float* /*cos_sin*/, int32_t /*head_dim*/) {
  return Call("Rope");
}

absl::Status FakeBackend::SiluMul(kernels::TensorView out, kernels::TensorView /*gate_up*/) {
  ZeroRows(out);
  return Call("SiluMul");
}

absl::Status FakeBackend::HeadNorm(kernels::TensorView /*x*/, const float* /*weight*/,
                                   float /*eps*/, int32_t /*head_dim*/) {
  return Call("HeadNorm");
}

// Row t goes to the experts 0 to per_row - 1.
absl::Status FakeBackend::RouteExperts(kernels::TensorView logits, int32_t per_row,
                                       const kernels::ExpertRouting& routing) {
  const auto rows = static_cast<int32_t>(logits.rows);
  for (int32_t e = 0; e <= logits.cols; ++e) routing.first_slots[e] = std::min(e, per_row) * rows;
  for (int32_t i = 0; i < rows * per_row; ++i) {
    routing.slots[i] = i % per_row * rows + i / per_row;
    routing.rows[routing.slots[i]] = i / per_row;
    routing.weights[i] = 0;
  }
  return Call("RouteExperts");
}

absl::Status FakeBackend::GroupedLinear(
    kernels::TensorView out, kernels::TensorView x,
    std::span<const std::unique_ptr<kernels::LinearWeight>> weights, const int32_t* first_slots) {
  SPARSED_CHECK(first_slots[weights.size()] == x.rows && x.rows == out.rows,
                "GroupedLinear: slots");
  for (const auto& weight : weights) {
    SPARSED_CHECK(x.cols == weight->in_features && out.cols == weight->out_features,
                  "GroupedLinear: shapes");
  }
  ZeroRows(out);
  return Call("GroupedLinear");
}

absl::Status FakeBackend::SumExperts(kernels::TensorView out, kernels::TensorView x,
                                     const kernels::ExpertRouting& /*routing*/, int32_t per_row) {
  SPARSED_CHECK(x.rows == out.rows * per_row && x.cols == out.cols, "SumExperts: shapes");
  return Call("SumExperts");
}

absl::Status FakeBackend::Attention(const kernels::AttentionParams& params) {
  ZeroRows(params.out);
  for (const kernels::AttentionSequence& sequence : params.sequences) {
    SPARSED_CHECK(sequence.first_row % options_.row_alignment == 0, "sequence not aligned");
    if (sequence.queries.has_value()) {
      const kernels::QueryRange& queries = *sequence.queries;
      const int64_t end = queries.first_token + queries.num_tokens;
      SPARSED_CHECK(queries.first_row % options_.row_alignment == 0, "queries not aligned");
      SPARSED_CHECK(queries.first_token % kernels::kQueryTileTokens == 0 &&
                        (end % kernels::kQueryTileTokens == 0 || end == sequence.num_tokens),
                    "queries not of whole tiles");
      SPARSED_CHECK(queries.num_tokens > 0 && end <= sequence.num_tokens &&
                        queries.first_row + queries.num_tokens <= params.out.rows,
                    "queries beyond their sequence or the output");
    }
    if (sequence.mode == kernels::AttentionMode::kFullSelect) {
      SelectEvenBlocks(sequence.mask, BlocksOf(sequence));
      FillImportance(sequence, BlocksOf(sequence));
    }
  }
  return Call("Attention");
}

absl::Status FakeBackend::GatherRows(kernels::TensorView out, kernels::TensorView x,
                                     const int32_t* rows) {
  for (int64_t row = 0; row < out.rows; ++row) {
    SPARSED_CHECK(rows[row] >= 0 && rows[row] < x.rows, "gathered row beyond the batch");
    std::memcpy(static_cast<float*>(out.data) + row * out.stride,
                static_cast<const float*>(x.data) + rows[row] * x.stride, out.cols * sizeof(float));
  }
  return Call("GatherRows");
}

absl::Status FakeBackend::SampleRows(kernels::TensorView logits,
                                     std::span<const kernels::SampleRow> rows,
                                     const kernels::SampleResults& results) {
  const int32_t vocab_size = static_cast<int32_t>(logits.cols);
  for (size_t i = 0; i < rows.size(); ++i) {
    const kernels::SampleRow& row = rows[i];
    SPARSED_CHECK(row.row < logits.rows && row.uncond_row < logits.rows, "row beyond the logits");
    const uint64_t hash = Hash(~row.seed, row.step, row.position);
    int32_t& token = results.tokens[i];
    token = TokenFor(row.seed, row.step, row.position, vocab_size, options_.mask_token_id);
    if (hash % 2 == 0 && options_.mask_seeds.count(row.seed) > 0) {
      token = options_.mask_token_id;
    }
    results.confidences[i] = options_.nan_seeds.count(row.seed) > 0
                                 ? std::numeric_limits<float>::quiet_NaN()
                                 : static_cast<float>(hash >> 40) * 0x1p-24f;
    if (row.target_token < 0) continue;
    token = row.target_token;
    results.log_probabilities[i] = std::log(results.confidences[i]);
  }
  return Call("SampleRows");
}

absl::Status FakeBackend::CommitRows(const float* confidences,
                                     std::span<const kernels::CommitGroup> groups,
                                     int32_t* chosen) {
  for (const kernels::CommitGroup& group : groups) {
    std::vector<int32_t> rows(group.count);
    std::iota(rows.begin(), rows.end(), group.first);
    const auto rank = [confidences](int32_t row) {
      return std::isnan(confidences[row]) ? -1.0f : confidences[row];
    };
    std::stable_sort(rows.begin(), rows.end(),
                     [&rank](int32_t a, int32_t b) { return rank(a) > rank(b); });
    chosen = std::copy_n(rows.begin(), group.keep, chosen);
  }
  return Call("CommitRows");
}

}  // namespace sparsed::testing
