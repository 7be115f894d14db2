#include "kernels/cpu/attention.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cpu/shape_check.h"

namespace sparsed::kernels {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr int64_t kFullBlockRows = 64;
constexpr int kMaxHeadDim = 256;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

QueryRange QueriesOf(const AttentionSequence& sequence) {
  return sequence.queries.value_or(QueryRange{0, sequence.num_tokens, sequence.first_row});
}

absl::Status CheckSelection(const AttentionSequence& sequence) {
  const BlockSelection& selection = sequence.selection;
  const int32_t blocks = sequence.mask.num_blocks;
  if (selection.first_canvas_block < 0 || selection.first_canvas_block > blocks) {
    return ShapeError("Attention", "selection.first_canvas_block must be in [0, num_blocks]");
  }
  const int32_t canvas_blocks = blocks - selection.first_canvas_block;
  for (int32_t head = 0; head < sequence.mask.num_heads; ++head) {
    const BlockSelection own = SelectionOfHead(selection, head);
    if (own.keep_prompt < 1 || own.keep_prompt > blocks) {
      return ShapeError("Attention", "selection.keep_prompt must be in [1, num_blocks]");
    }
    if (own.keep_canvas < std::min(1, canvas_blocks) || own.keep_canvas > canvas_blocks) {
      return ShapeError("Attention", "selection.keep_canvas must be in [1, canvas blocks]");
    }
  }
  if (!(selection.scale > 0)) return ShapeError("Attention", "selection.scale must be positive");
  return absl::OkStatus();
}

absl::Status CheckQueries(const AttentionSequence& sequence, const AttentionParams& params) {
  const QueryRange queries = QueriesOf(sequence);
  const int64_t end = queries.first_token + queries.num_tokens;
  if (queries.first_token < 0 || queries.first_token % kQueryTileTokens != 0 ||
      queries.num_tokens <= 0 || end > sequence.num_tokens ||
      (end % kQueryTileTokens != 0 && end != sequence.num_tokens)) {
    return ShapeError("Attention", "queries must be whole tiles of the sequence");
  }
  if (queries.first_row < 0 || queries.first_row + queries.num_tokens > params.q.rows) {
    return ShapeError("Attention", "queries lie outside of the rows of q");
  }
  if (queries.split && sequence.mode == AttentionMode::kFullSelect) {
    return ShapeError("Attention", "queries that are split select nothing");
  }
  return absl::OkStatus();
}

absl::Status CheckSequence(const AttentionSequence& sequence, const AttentionParams& params) {
  if (sequence.first_row < 0 || sequence.num_tokens <= 0 ||
      sequence.first_row + sequence.num_tokens > params.k.rows) {
    return ShapeError("Attention", "a sequence lies outside of the packed rows");
  }
  SPARSED_KERNEL_CHECK(CheckQueries(sequence, params));
  if (sequence.mode == AttentionMode::kFull) return absl::OkStatus();
  const BlockMaskView& mask = sequence.mask;
  if (mask.block_size != 32 && mask.block_size != 64 && mask.block_size != 128) {
    return ShapeError("Attention", "mask.block_size must be 32, 64 or 128");
  }
  if (mask.bits == nullptr || mask.num_heads != params.num_heads ||
      mask.num_blocks != CeilDiv(sequence.num_tokens, mask.block_size)) {
    return ShapeError("Attention", "mask does not fit the heads and tokens of its sequence");
  }
  return sequence.mode == AttentionMode::kFullSelect ? CheckSelection(sequence) : absl::OkStatus();
}

absl::Status CheckParams(const AttentionParams& params) {
  if (params.head_dim < 16 || params.head_dim > kMaxHeadDim || params.head_dim % 16 != 0) {
    return ShapeError("Attention", "head_dim must be a multiple of 16 up to 256");
  }
  if (params.num_heads < 1 || params.num_kv_heads < 1 ||
      params.num_heads % params.num_kv_heads != 0) {
    return ShapeError("Attention", "num_kv_heads must divide num_heads");
  }
  const int64_t q_cols = int64_t{params.num_heads} * params.head_dim;
  const int64_t kv_cols = int64_t{params.num_kv_heads} * params.head_dim;
  SPARSED_KERNEL_CHECK(CheckF32("Attention", "q", params.q, params.q.rows, q_cols));
  SPARSED_KERNEL_CHECK(CheckF32("Attention", "out", params.out, params.q.rows, q_cols));
  SPARSED_KERNEL_CHECK(CheckF32("Attention", "k", params.k, params.k.rows, kv_cols));
  SPARSED_KERNEL_CHECK(CheckF32("Attention", "v", params.v, params.k.rows, kv_cols));
  for (const AttentionSequence& sequence : params.sequences) {
    SPARSED_KERNEL_CHECK(CheckSequence(sequence, params));
  }
  return absl::OkStatus();
}

// One panel: up to kPanelKeys rows of k, then of v, the rest zero.
void PackPanel(const AttentionParams& params, int64_t first_row, int64_t keys, int64_t kv_head,
               float* panel) {
  const int64_t column = kv_head * params.head_dim;
  const size_t row_bytes = static_cast<size_t>(params.head_dim) * sizeof(float);
  for (const TensorView* source : {&params.k, &params.v}) {
    for (int64_t key = 0; key < kPanelKeys; ++key, panel += params.head_dim) {
      if (key < keys) {
        std::memcpy(panel, RowOf(*source, first_row + key) + column, row_bytes);
      } else {
        std::memset(panel, 0, row_bytes);
      }
    }
  }
}

// The kept panels of one mask row, ascending.
void ListPanels(const BlockMaskView& mask, int64_t head, int64_t block, int64_t num_panels,
                std::vector<int32_t>& kept) {
  kept.clear();
  const int32_t panels_per_block = mask.block_size / kPanelKeys;
  const uint64_t* row = mask.Row(head, block);
  for (int64_t word = 0; word < mask.WordsPerRow(); ++word) {
    for (uint64_t bits = row[word]; bits != 0; bits &= bits - 1) {
      const int64_t column = word * 64 + std::countr_zero(bits);
      const int64_t last = std::min(num_panels, (column + 1) * panels_per_block);
      for (int64_t panel = column * panels_per_block; panel < last; ++panel) {
        kept.push_back(static_cast<int32_t>(panel));
      }
    }
  }
}

}  // namespace

absl::Status AttentionRunner::Run(const AttentionParams& params, const VectorOps& ops,
                                  ThreadPool& pool) {
  SPARSED_KERNEL_CHECK(CheckParams(params));
  scratch_.resize(static_cast<size_t>(pool.threads()));
  MakePlans(params);
  PackPanels(params, pool);
  pool.Run(total_tasks_, [&](int64_t task, int thread) {
    RunTask(params, ops, Locate(task), scratch_[static_cast<size_t>(thread)]);
  });
  return absl::OkStatus();
}

void AttentionRunner::MakePlans(const AttentionParams& params) {
  plans_.clear();
  packed_.clear();
  total_panels_ = 0;
  total_tasks_ = 0;
  for (size_t s = 0; s < params.sequences.size(); ++s) {
    const AttentionSequence& sequence = params.sequences[s];
    const QueryRange queries = QueriesOf(sequence);
    Plan plan;
    plan.num_panels = CeilDiv(sequence.num_tokens, kPanelKeys);
    plan.block_rows =
        sequence.mode == AttentionMode::kFull ? kFullBlockRows : sequence.mask.block_size;
    plan.first_block = queries.first_token / plan.block_rows;
    plan.num_blocks = CeilDiv(queries.num_tokens, plan.block_rows);
    plan.first_task = total_tasks_;
    total_tasks_ += plan.num_blocks * params.num_heads;
    const bool again = s > 0 && params.sequences[s - 1].first_row == sequence.first_row &&
                       params.sequences[s - 1].num_tokens == sequence.num_tokens;
    if (again) {
      plan.first_panel = plans_.back().first_panel;
    } else {
      plan.first_panel = total_panels_;
      total_panels_ += plan.num_panels * params.num_kv_heads;
      packed_.push_back(s);
    }
    plans_.push_back(plan);
  }
}

void AttentionRunner::PackPanels(const AttentionParams& params, ThreadPool& pool) {
  const int64_t panel_floats = int64_t{kPanelFloatsPerDim} * params.head_dim;
  float* panels = panels_.Reserve(static_cast<size_t>(total_panels_ * panel_floats));
  constexpr int64_t kGrainPanels = 16;
  pool.RunRanges(total_panels_, kGrainPanels, [&](int64_t first, int64_t last, int) {
    size_t s = 0;
    for (int64_t i = first; i < last; ++i) {
      while (s + 1 < packed_.size() && plans_[packed_[s + 1]].first_panel <= i) ++s;
      const Plan& plan = plans_[packed_[s]];
      const AttentionSequence& sequence = params.sequences[packed_[s]];
      const int64_t kv_head = (i - plan.first_panel) / plan.num_panels;
      const int64_t key = (i - plan.first_panel) % plan.num_panels * kPanelKeys;
      PackPanel(params, sequence.first_row + key,
                std::min<int64_t>(kPanelKeys, sequence.num_tokens - key), kv_head,
                panels + i * panel_floats);
    }
  });
}

AttentionRunner::Place AttentionRunner::Locate(int64_t task) const {
  const auto after = std::upper_bound(plans_.begin(), plans_.end(), task,
                                      [](int64_t t, const Plan& p) { return t < p.first_task; });
  const Plan& plan = *(after - 1);
  Place place;
  place.sequence = static_cast<size_t>(after - 1 - plans_.begin());
  place.head = (task - plan.first_task) / plan.num_blocks;
  place.block = plan.first_block + (task - plan.first_task) % plan.num_blocks;
  return place;
}

AttendTileArgs AttentionRunner::TileArgs(const AttentionParams& params, const Place& place,
                                         ThreadScratch& scratch) const {
  const Plan& plan = plans_[place.sequence];
  const AttentionSequence& sequence = params.sequences[place.sequence];
  const int64_t kv_head = place.head / (params.num_heads / params.num_kv_heads);
  const int64_t first_panel = plan.first_panel + kv_head * plan.num_panels;
  AttendTileArgs args;
  args.q_stride = params.q.stride;
  args.out_stride = params.out.stride;
  args.head_dim = params.head_dim;
  args.scale_log2 = params.scale * kLog2E;
  args.panels = panels_.data() + first_panel * kPanelFloatsPerDim * params.head_dim;
  args.num_panels = plan.num_panels;
  args.last_panel_keys = sequence.num_tokens - (plan.num_panels - 1) * kPanelKeys;
  args.num_kept = plan.num_panels;
  args.scratch = scratch.tile.Reserve(kAttendScratchFloats);
  if (sequence.mode == AttentionMode::kSparse) {
    ListPanels(sequence.mask, place.head, place.block, plan.num_panels, scratch.kept);
    args.kept = scratch.kept.data();
    args.num_kept = static_cast<int64_t>(scratch.kept.size());
  }
  return args;
}

void AttentionRunner::RunTask(const AttentionParams& params, const VectorOps& ops,
                              const Place& place, ThreadScratch& scratch) const {
  const Plan& plan = plans_[place.sequence];
  const AttentionSequence& sequence = params.sequences[place.sequence];
  const bool select = sequence.mode == AttentionMode::kFullSelect;
  AttendTileArgs args = TileArgs(params, place, scratch);
  if (select) scratch.importance.Begin(sequence, params.scale, args);
  const QueryRange queries = QueriesOf(sequence);
  const int64_t row_of_token_0 = queries.first_row - queries.first_token;
  const int64_t end = std::min(sequence.num_tokens, (place.block + 1) * plan.block_rows);
  for (int64_t row = place.block * plan.block_rows; row < end; row += kQueryRows) {
    args.rows = static_cast<int>(std::min<int64_t>(kQueryRows, end - row));
    args.q = RowOf(params.q, row_of_token_0 + row) + place.head * params.head_dim;
    args.out = RowOf(params.out, row_of_token_0 + row) + place.head * params.head_dim;
    ops.attend_tile(args);
    if (select) scratch.importance.AddTile(ops, args.rows);
  }
  if (select) {
    const int64_t row = place.head * plan.num_blocks + place.block - plan.first_block;
    scratch.importance.Finish(sequence, place.head, place.block, row);
  }
}

}  // namespace sparsed::kernels
