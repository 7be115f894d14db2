// CudaBackend: attention, from a batch of sequences to launches.
// Next: split_plan.h, launch.h, attention_sm90.cu
#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/key_chunks.h"
#include "kernels/cuda/split_plan.h"
#include "kernels/cuda/views.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int64_t kMaxSelectionValues = 8192;  // importances of 128 query rows in shared memory
constexpr float kLog2E = 1.4426950408889634f;

int32_t CeilDiv(int64_t a, int64_t b) { return static_cast<int32_t>((a + b - 1) / b); }

// The selection's scale over the attention's. A ratio of 1 or 2 but for rounding is that: the
// kernels have short ways for these.
float SelectionRatio(const AttentionParams& params, const AttentionSequence& sequence) {
  const float ratio = sequence.selection.scale / params.scale;
  const float whole = std::round(ratio);
  return std::abs(ratio - whole) < 1e-6f * whole ? whole : ratio;
}

Mass MassOf(const AttentionParams& params, const AttentionSequence& sequence) {
  if (sequence.mode != AttentionMode::kFullSelect) return Mass::kNone;
  const float ratio = SelectionRatio(params, sequence);
  return ratio == 1.0f ? Mass::kPlain : ratio == 2.0f ? Mass::kSquare : Mass::kPower;
}

absl::Status CheckQueries(const AttentionSequence& sequence) {
  if (!sequence.queries.has_value()) return absl::OkStatus();
  const QueryRange& queries = *sequence.queries;
  const int64_t end = queries.first_token + queries.num_tokens;
  const bool ends_well = queries.num_tokens % kQueryTileTokens == 0 || end == sequence.num_tokens;
  if (queries.first_token < 0 || queries.num_tokens <= 0 || end > sequence.num_tokens ||
      queries.first_token % kQueryTileTokens != 0 || !ends_well ||
      queries.first_row % kRowAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Attention: queries [", queries.first_token, ", ", end, ") of ", sequence.num_tokens,
        " tokens, from row ", queries.first_row,
        " on; they begin at a multiple of 128, end at one or with the sequence, lie in rows from a "
        "multiple of ",
        kRowAlignment, " on"));
  }
  if (queries.split && sequence.mode == AttentionMode::kFullSelect) {
    return absl::InvalidArgumentError("Attention: queries that are split select nothing");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CudaBackend::Attention(const AttentionParams& params) {
  SPARSED_CHECK_BF16("Attention", params.out);
  SPARSED_CHECK_BF16("Attention", params.q);
  SPARSED_CHECK_BF16("Attention", params.k);
  SPARSED_CHECK_BF16("Attention", params.v);
  if (params.head_dim != 64 && params.head_dim != 128) {
    return absl::InvalidArgumentError(
        absl::StrCat("Attention: head_dim ", params.head_dim, "; a GPU supports 64 and 128"));
  }
  for (const AttentionSequence& sequence : params.sequences) {
    if (absl::Status status = CheckQueries(sequence); !status.ok()) return status;
  }
  const int64_t most_items = static_cast<int64_t>(attention_scratch_.bytes() / sizeof(float)) /
                             PartialFloats(params.head_dim);
  const auto splits = [&](const AttentionSequence& sequence) {
    return SplitsKeys(sequence, params.num_heads, most_items);
  };
  std::span<const AttentionSequence> left = params.sequences;
  while (!left.empty()) {
    const bool split = splits(left.front());
    const auto other = std::find_if(
        left.begin(), left.end(), [&](const auto& sequence) { return splits(sequence) != split; });
    const auto alike = left.first(static_cast<size_t>(other - left.begin()));
    left = left.subspan(alike.size());
    const absl::Status status =
        split ? AttendSplit(params, alike, most_items) : AttendWhole(params, alike);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A launch takes so many sequences, whose selections share their exponent.
absl::Status CudaBackend::AttendWhole(const AttentionParams& params,
                                      std::span<const AttentionSequence> sequences) {
  size_t first = 0;
  while (first < sequences.size()) {
    Mass mass = Mass::kNone;
    size_t count = 0;
    for (const AttentionSequence& sequence : sequences.subspan(first)) {
      const Mass own = MassOf(params, sequence);
      const bool fits = own == Mass::kNone || mass == Mass::kNone || own == mass;
      if (count == kMaxAttentionSequences || !fits) break;
      if (own != Mass::kNone) mass = own;
      ++count;
    }
    if (absl::Status status =
            AttendOnce(params, sequences.subspan(first, count), mass, /*split=*/false);
        !status.ok()) {
      return status;
    }
    first += count;
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::AttendSplit(const AttentionParams& params,
                                      std::span<const AttentionSequence> sequences,
                                      int64_t most_items) {
  SplitPlan plan(sequences, params.num_heads, most_items, kMaxAttentionSequences);
  for (auto part = plan.Next(); !part.empty(); part = plan.Next()) {
    if (absl::Status status = AttendOnce(params, part, Mass::kNone, /*split=*/true); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

// One launch; with the combination of its chunks, where it is split.
absl::Status CudaBackend::AttendOnce(const AttentionParams& params,
                                     std::span<const AttentionSequence> sequences, Mass mass,
                                     bool split) {
  AttentionLaunch launch;
  launch.out = AsBf16(params.out);
  launch.q = AsBf16(params.q);
  launch.k = AsBf16(params.k);
  launch.v = AsBf16(params.v);
  launch.out_stride = params.out.stride;
  launch.q_stride = params.q.stride;
  launch.k_stride = params.k.stride;
  launch.v_stride = params.v.stride;
  launch.num_heads = params.num_heads;
  launch.group = params.num_heads / params.num_kv_heads;
  launch.scale_log2 = params.scale * kLog2E;
  launch.split = split;
  for (const AttentionSequence& sequence : sequences) {
    AttentionItemRange& range = launch.sequences[launch.num_sequences++];
    const QueryRange queries =
        sequence.queries.value_or(QueryRange{0, sequence.num_tokens, sequence.first_row});
    range.first_row = static_cast<int32_t>(sequence.first_row);
    range.num_tokens = static_cast<int32_t>(sequence.num_tokens);
    range.query_row = static_cast<int32_t>(queries.first_row - queries.first_token);
    range.end_token = static_cast<int32_t>(queries.first_token + queries.num_tokens);
    range.first_tile = static_cast<int32_t>(queries.first_token / 128);
    range.num_tiles = CeilDiv(queries.num_tokens, 128);
    range.first_item = launch.num_items;
    range.mode = static_cast<int32_t>(sequence.mode);
    const int32_t chunks = split ? NumKeyChunks(range.num_tokens) : 1;
    launch.num_items += range.num_tiles * params.num_heads * chunks;
    if (sequence.mode == AttentionMode::kFull) {
      range.num_blocks = CeilDiv(sequence.num_tokens, 128);
      continue;
    }
    range.block_size = sequence.mask.block_size;
    range.num_blocks = sequence.mask.num_blocks;
    range.mask = sequence.mask.bits;
    if (sequence.mode != AttentionMode::kFullSelect) continue;
    const BlockSelection& selection = sequence.selection;
    range.first_canvas_block = selection.first_canvas_block;
    range.keep_prompt = selection.keep_prompt;
    range.keep_canvas = selection.keep_canvas;
    range.head_counts = selection.head_counts;
    range.selection_ratio = SelectionRatio(params, sequence);
    range.importance = selection.importance;
    range.canvas_importance = selection.canvas_importance;
    launch.scratch_floats = std::max(launch.scratch_floats, (int64_t{range.num_blocks} + 1) * 128);
    if (int64_t{range.num_blocks} * (128 / range.block_size) > kMaxSelectionValues) {
      return absl::InvalidArgumentError(
          absl::StrCat("Attention: ", sequence.num_tokens, " tokens in blocks of ",
                       range.block_size, " are too many to select from; use a larger block size"));
    }
  }
  if (absl::Status status = Launch(params, launch, mass); !status.ok()) return status;
  if (split) {
    SPARSED_CUDA_RETURN("Attention", LaunchAttentionCombine(launch, params.head_dim, stream_));
  }
  return absl::OkStatus();
}

absl::Status CudaBackend::Launch(const AttentionParams& params, AttentionLaunch& launch,
                                 Mass mass) {
  const int32_t grid = PlanScratch(launch, params.head_dim, mass);
  if (!hopper_) {
    SPARSED_CUDA_RETURN("Attention",
                        LaunchAttentionSm80(launch, params.head_dim, mass, grid, stream_));
    return absl::OkStatus();
  }
  if (absl::Status status = PlanSteps(launch, params.head_dim); !status.ok()) return status;
  AttentionMaps maps;
  const std::tuple<const TensorView*, uint32_t, CUtensorMap*> encoded[] = {
      {&params.q, AttentionMaps::kQueryRows, &maps.q},
      {&params.k, AttentionMaps::kKeyRows, &maps.k},
      {&params.v, AttentionMaps::kValueRows, &maps.v},
      {&params.out, AttentionMaps::kOutRows, &maps.out}};
  for (const auto& [view, box_rows, map] : encoded) {
    if (absl::Status status = EncodeMap(*view, box_rows, map); !status.ok()) return status;
  }
  SPARSED_CUDA_RETURN("Attention",
                      LaunchAttentionSm90(launch, maps, params.head_dim, mass, grid, stream_));
  return absl::OkStatus();
}

// Gives the items of a split launch, or the blocks of a select launch, their scratch. Returns the
// number of persistent blocks: one a multiprocessor, fewer where even with one buffer each the
// scratch is short.
int32_t CudaBackend::PlanScratch(AttentionLaunch& launch, int32_t head_dim, Mass mass) const {
  const int32_t grid = std::min(launch.num_items, multiprocessors_);
  if (launch.split) {
    launch.scratch = attention_scratch_.as<float>();
    launch.scratch_floats = PartialFloats(head_dim);
  }
  if (mass == Mass::kNone) return grid;
  launch.scratch = attention_scratch_.as<float>();
  const int64_t buffers =
      static_cast<int64_t>(attention_scratch_.bytes() / sizeof(float)) / launch.scratch_floats;
  launch.scratch_buffers = hopper_ && buffers >= 2 * int64_t{grid} ? 2 : 1;
  return static_cast<int32_t>(std::min<int64_t>(grid, buffers));
}

// Blocks keep in step where their items take equally long and the keys and values of a head do not
// fit into the cache (of which each half holds what its half of the multiprocessors reads).
absl::Status CudaBackend::PlanSteps(AttentionLaunch& launch, int32_t head_dim) const {
  const AttentionItemRange& only = launch.sequences[0];
  const bool equal = !launch.split && launch.num_sequences == 1 &&
                     only.mode != static_cast<int32_t>(AttentionMode::kSparse);
  if (!equal || int64_t{only.num_tokens} * head_dim * 2 * 2 <= cache_bytes_ / 2) {
    return absl::OkStatus();
  }
  launch.items_begun = items_begun_.as<uint32_t>();
  SPARSED_CUDA_RETURN("Attention",
                      cudaMemsetAsync(launch.items_begun, 0, sizeof(uint32_t), stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::EncodeMap(const TensorView& view, uint32_t box_rows,
                                    CUtensorMap* map) const {
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode_map_);
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(view.cols),
                               static_cast<cuuint64_t>(view.rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(view.stride) * 2};
  const cuuint32_t box[2] = {64, box_rows};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult result =
      encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, view.data, sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    return absl::InternalError(absl::StrCat("Attention: tensor map of [", view.rows, ", ",
                                            view.cols, "], stride ", view.stride, ": driver error ",
                                            static_cast<int>(result)));
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
