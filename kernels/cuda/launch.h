// Launchers of the CUDA kernels: the border between host code and .cu files. Plain types only.
// Every launcher enqueues on `stream`, returns at once and gives cudaGetLastError().
#pragma once

#include <cuda.h>  // CUtensorMap only; libcuda is not linked
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/confidence_rule.h"

namespace sparsed::kernels::cuda {

using Bf16 = __nv_bfloat16;

// out[t] = table[ids[t]]; E is a multiple of 8. table is bf16.
cudaError_t LaunchEmbed(Bf16* out, int64_t out_stride, const Bf16* table, const int32_t* ids,
                        int64_t rows, int64_t cols, cudaStream_t stream);

// Normalised in float32, rounded to bf16, then times the weight, rounded again (the reference's
// rounding points). cols is a multiple of 8, at most 32768; weight lies at a multiple of 16 bytes.
cudaError_t LaunchRmsNorm(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                          const float* weight, float eps, int64_t rows, int64_t cols,
                          cudaStream_t stream);

// Half-split rotation in float32, one rounding. cos_sin row: D/2 cosines, D/2 sines; it lies at a
// multiple of 16 bytes, and head_dim is a multiple of 16.
cudaError_t LaunchRope(Bf16* x, int64_t stride, const int32_t* positions, const float* cos_sin,
                       int64_t rows, int64_t heads, int32_t head_dim, cudaStream_t stream);

// out = round(silu(gate)) * up, gate_up [rows, 2 * cols].
cudaError_t LaunchSiluMul(Bf16* out, int64_t out_stride, const Bf16* gate_up,
                          int64_t gate_up_stride, int64_t rows, int64_t cols, cudaStream_t stream);

// out[r] = x[rows_index[r]].
cudaError_t LaunchGatherRows(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                             const int32_t* rows_index, int64_t rows, int64_t cols,
                             cudaStream_t stream);

// *count = the bits set in words[0, num_words).
cudaError_t LaunchCountBits(const uint64_t* words, int64_t num_words, int64_t* count,
                            cudaStream_t stream);

// Each head of x in place, with the roundings of LaunchRmsNorm. head_dim is a multiple of 8, at
// most 256; weight [head_dim] lies at a multiple of 16 bytes.
cudaError_t LaunchHeadNorm(Bf16* x, int64_t stride, const float* weight, float eps, int64_t rows,
                           int64_t heads, int32_t head_dim, cudaStream_t stream);

// Random bf16 values in (-1, 1), for trying products.
cudaError_t LaunchFillRandom(Bf16* out, int64_t count, uint64_t seed, cudaStream_t stream);

// *different = how many of the 32-bit words of a and b differ.
cudaError_t LaunchCountDifferences(const uint32_t* a, const uint32_t* b, int64_t num_words,
                                   int64_t* different, cudaStream_t stream);

constexpr int kMaxExperts = 1024;

// As kernels::Backend::RouteExperts, whose routing's parts these are; experts <= kMaxExperts.
struct RouteLaunch {
  const float* logits = nullptr;
  int64_t stride = 0;
  int64_t num_rows = 0;
  int32_t num_experts = 0;
  int32_t per_row = 0;
  int32_t* rows = nullptr;
  int32_t* first_slots = nullptr;
  int32_t* slots = nullptr;
  float* weights = nullptr;
};
cudaError_t LaunchRouteExperts(const RouteLaunch& launch, cudaStream_t stream);

// out[t] += the weighted sum of the rows of x in t's slots: in float32, one rounding.
cudaError_t LaunchSumExperts(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                             const int32_t* slots, const float* weights, int32_t per_row,
                             int64_t rows, int64_t cols, cudaStream_t stream);

constexpr int kMaxGroupedWeights = 256;  // of one launch: they travel as kernel arguments

// out[s] = x[s] W_e^T for the slots s of some experts: expert e has [first_slots[e],
// first_slots[e + 1]). in and out_features are multiples of 8.
struct GroupedLaunch {
  Bf16* out = nullptr;
  const Bf16* x = nullptr;
  int64_t out_stride = 0;
  int64_t x_stride = 0;
  int32_t in_features = 0;
  int32_t out_features = 0;
  const int32_t* first_slots = nullptr;  // on the device
  int32_t num_experts = 0;
  const Bf16* weights[kMaxGroupedWeights] = {};  // [out_features, in_features] each
};
// grid: persistent blocks.
cudaError_t LaunchGroupedLinear(const GroupedLaunch& launch, int32_t grid, cudaStream_t stream);

// One sequence of a packed attention launch. Its items are the tiles of 128 query rows of each
// head; in a split launch, those for each chunk of the keys.
struct AttentionItemRange {
  int32_t first_row = 0;  // of k and v
  int32_t num_tokens = 0;
  int32_t query_row = 0;     // the row of q and out that token 0 has or would have; may be negative
  int32_t end_token = 0;     // of the queries
  int32_t first_tile = 0;    // of the queries
  int32_t num_tiles = 0;     // of the queries
  int32_t first_item = 0;    // items of the sequences before it
  int32_t mode = 0;          // kernels::AttentionMode
  int32_t block_size = 128;  // B
  int32_t num_blocks = 0;
  uint64_t* mask = nullptr;  // [H, num_blocks, words]
  int32_t first_canvas_block = 0;
  int32_t keep_prompt = 0;
  int32_t keep_canvas = 0;
  float selection_ratio = 1;             // selection scale over attention scale
  const int32_t* head_counts = nullptr;  // [H, 2] in place of keep_prompt and keep_canvas, or null
  // Of the query blocks asked for: [H, nQ, nKV] or null, [H, nQ, nKV - first_canvas_block] or null.
  float* importance = nullptr;
  float* canvas_importance = nullptr;
};

constexpr int kMaxAttentionSequences = 32;  // of one launch: they travel as kernel arguments

struct AttentionLaunch {
  Bf16* out = nullptr;
  const Bf16* q = nullptr;
  const Bf16* k = nullptr;
  const Bf16* v = nullptr;
  int64_t out_stride = 0;
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int32_t num_heads = 0;
  int32_t group = 1;  // query heads of one key/value head
  int32_t num_items = 0;
  int32_t num_sequences = 0;
  float scale_log2 = 0;  // scale * log2(e)
  // Select launches: per block of the grid and buffer [nKV + 1][128] floats. Split launches: what
  // each item leaves, PartialFloats(head_dim) of key_chunks.h. Others have none.
  float* scratch = nullptr;
  int64_t scratch_floats = 0;  // of one buffer, or one item
  int32_t scratch_buffers = 1;
  // The keys of all sequences are parted: their items are those of key_chunks.h and write to the
  // scratch alone. Without selection, and followed by LaunchAttentionCombine.
  bool split = false;
  // Hopper only: counts the items begun, 0 before the launch, where blocks are to keep in step.
  uint32_t* items_begun = nullptr;
  AttentionItemRange sequences[kMaxAttentionSequences];
};

// out = the rows of a split launch, from what its items left: chunk after chunk in ascending order.
cudaError_t LaunchAttentionCombine(const AttentionLaunch& launch, int32_t head_dim,
                                   cudaStream_t stream);

// What a launch adds up for its kFullSelect sequences: nothing (it has none), or the probabilities
// to the power of selection_ratio: 1, 2, or any. The sequences of a launch share it.
enum class Mass : uint8_t { kNone, kPlain, kSquare, kPower };

// mma.sync kernel for compute capability 8.0 and newer. head_dim 64 or 128. grid: persistent
// blocks. Uses one buffer of scratch.
cudaError_t LaunchAttentionSm80(const AttentionLaunch& launch, int32_t head_dim, Mass mass,
                                int32_t grid, cudaStream_t stream);
// The same for compute capability 9.0a, by warpgroup products and bulk copies. The maps are bf16
// with 128-byte swizzle, boxes of 64 columns; their rows are given here. first_row of every
// sequence and query_row are multiples of 64.
struct AttentionMaps {
  static constexpr uint32_t kQueryRows = 64;
  static constexpr uint32_t kKeyRows = 128;
  static constexpr uint32_t kValueRows = 64;
  static constexpr uint32_t kOutRows = 16;
  CUtensorMap q;
  CUtensorMap k;
  CUtensorMap v;
  CUtensorMap out;
};
cudaError_t LaunchAttentionSm90(const AttentionLaunch& launch, const AttentionMaps& maps,
                                int32_t head_dim, Mass mass, int32_t grid, cudaStream_t stream);

// As kernels::SampleRow, in kernel arguments.
struct SampleArgs {
  int32_t row = 0;
  int32_t uncond_row = -1;
  float cfg_scale = 0;
  float temperature = 0;
  float top_p = 1;
  int32_t top_k = 0;
  int32_t forbidden_token = -1;
  int32_t unsure_tokens[2] = {-1, -1};
  int32_t target_token = -1;
  ConfidenceRule rule = ConfidenceRule::kProbability;
  uint32_t step = 0;
  uint32_t position = 0;
  uint64_t seed = 0;
};
constexpr int kMaxSampleRows = 60;  // of one launch: 4 KiB of arguments

struct SampleLaunch {
  float* logits = nullptr;
  int64_t stride = 0;
  int32_t vocab = 0;
  int32_t num_rows = 0;
  int32_t* tokens = nullptr;
  float* confidences = nullptr;
  float* log_probabilities = nullptr;
  SampleArgs rows[kMaxSampleRows];
};
cudaError_t LaunchSample(const SampleLaunch& launch, cudaStream_t stream);

struct CommitArgs {
  int32_t first = 0;
  int32_t count = 0;
  int32_t keep = 0;
  int32_t out = 0;  // first place in `chosen`
  float temperature = 0;
  uint32_t step = 0;
  uint64_t seed = 0;
};
constexpr int kMaxCommitGroups = 120;  // of one launch: 4 KiB of arguments

struct CommitLaunch {
  const float* confidences = nullptr;
  int32_t* chosen = nullptr;
  int32_t num_groups = 0;
  CommitArgs groups[kMaxCommitGroups];
};
cudaError_t LaunchCommit(const CommitLaunch& launch, cudaStream_t stream);

}  // namespace sparsed::kernels::cuda
