// The smallest set of operations that a denoising step needs from a device.
// Next: cpu/cpu_backend.h (the implementation that defines the right answer).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/block_mask.h"
#include "kernels/confidence_rule.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

// Owned device memory. Move-only; freed by the destructor. A Buffer must not outlive its Backend.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::function<void(void*, size_t)> release)
      : data_(data), bytes_(bytes), release_(std::move(release)) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_(data_, bytes_);
  }

  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::function<void(void*, size_t)> release_;
};

// The weight of a linear layer in the backend's own packed form, y = x W^T. One weight may hold the
// rows of several checkpoint matrices, one below the other (fused q, k, v or gate, up).
class LinearWeight {
 public:
  virtual ~LinearWeight() = default;
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool has_bias = false;
};

// How a backend holds the weights of linear layers. Embeddings, norms and biases are not of them.
enum class WeightType : uint8_t {
  kFull,  // as wide as the activations: float32 on the CPU, bf16 on a GPU
  // CPU only: 8 bits and a float32 scale for every output. The rows that they multiply are rounded
  // to 8 bits, each with a scale of its own; the sums of the products are exact.
  kInt8,
};

struct BackendInfo {
  std::string device;       // "cpu" or "cuda:0"
  std::string description;  // processor or card, instruction set, threads: for the log
  std::string weights;      // type of the weights of linear layers: "f32", "bf16" or "int8"
  DType activation_dtype = DType::kF32;
  // HeadNorm, RouteExperts, GroupedLinear and SumExperts are there.
  bool has_experts = false;
  int32_t row_alignment = 1;  // every sequence starts at a multiple of this many packed rows
  bool splits_keys = false;   // QueryRange::split makes a difference
  uint64_t memory_total_bytes = 0;
  uint64_t memory_free_bytes = 0;  // as the system counts it, whoever took the rest
  uint64_t allocated_bytes = 0;    // by live Buffers and LinearWeights of this backend
};

// How a full pass builds a pattern beside its output (SparseD, arXiv 2509.24014; the published
// code's rule). The importance of a tile is the mean over B x B of the row softmax; rows and
// columns that do not exist count as zero. Canvas side: columns >= first_canvas_block, softmax over
// those keys only. The pattern is: the keep_prompt best of ALL columns, less those at or above
// first_canvas_block, united with the keep_canvas best columns of the canvas side. Ties go to the
// lower column. With first_canvas_block = nKV there is no canvas side: all columns compete alike.
struct BlockSelection {
  int32_t first_canvas_block = 0;  // in [0, nKV]
  int32_t keep_prompt = 0;         // in [1, nKV]
  int32_t keep_canvas = 0;         // in [1, nKV - first_canvas_block]; 0 where that is 0
  float scale = 0;                 // of the scores in the selection softmax
  // Where not null, in the backend's memory: [H, 2], the keep_prompt and keep_canvas of each head
  // in place of those above, in the same limits.
  const int32_t* head_counts = nullptr;
  // Where not null, in the backend's memory, the importances themselves, for those who look at
  // them: [H, nQ, nKV] and [H, nQ, nKV - first_canvas_block]; nQ is of the queries asked for.
  float* importance = nullptr;
  float* canvas_importance = nullptr;
};

enum class AttentionMode : uint8_t {
  kFull,        // all blocks
  kFullSelect,  // all blocks; `mask` is written by the rule of `selection`
  kSparse,      // the blocks of `mask`
};

// Queries come in tiles of so many tokens, counted from the start of their sequence.
inline constexpr int64_t kQueryTileTokens = 128;

// Some of a sequence's tokens as queries, in rows of their own. A sequence may be listed several
// times, each time with another range. No two of one call write the same rows.
struct QueryRange {
  int64_t first_token = 0;  // a multiple of 128
  int64_t num_tokens = 0;   // a multiple of 128, or up to the sequence's end
  int64_t first_row = 0;    // of q and out; a multiple of row_alignment
  // Without it, these are the rows of the whole sequence, bit for bit. With it, the keys may be
  // parted, as the sequence's length alone says, so that a few queries fill a device: the rows are
  // then those of another such range, in any mode with a mask that keeps as much. Not with
  // kFullSelect. A backend without splits_keys ignores it.
  bool split = false;
};

// One sequence of a packed batch.
struct AttentionSequence {
  int64_t first_row = 0;  // of k and v, in the packed rows; a multiple of row_alignment
  int64_t num_tokens = 0;
  // None: every token asks, and q and out have the rows of k and v. kFullSelect writes the mask's
  // rows of these queries alone.
  std::optional<QueryRange> queries;
  AttentionMode mode = AttentionMode::kFull;
  BlockMaskView mask;        // kFullSelect writes it, kSparse reads it
  BlockSelection selection;  // kFullSelect only
};

struct AttentionParams {
  TensorView out;  // [T, H*D]
  TensorView q;    // [T, H*D], rotated
  TensorView k;    // [T, Hkv*D], rotated
  TensorView v;    // [T, Hkv*D]
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_heads; query head h reads key head h / (H / Hkv)
  int32_t head_dim = 0;      // 64 or 128 (the CPU backend: any multiple of 16 up to 256)
  float scale = 0;           // of the scores: 1 / sqrt(D)
  std::span<const AttentionSequence> sequences;
};

// Which rows of a batch go to which experts: T rows, K experts a row. The T K slots are sorted by
// expert, within an expert by row. In the backend's memory.
struct ExpertRouting {
  int32_t* rows = nullptr;         // [T K], the row of each slot
  int32_t* first_slots = nullptr;  // [experts + 1], where the slots of each expert begin
  int32_t* slots = nullptr;        // [T, K], the slots of each row, by ascending expert
  float* weights = nullptr;        // [T, K], of these slots
};

// One row of logits to sample from. Random numbers are counter-based: they depend on (seed, step,
// position, vocabulary index) and on nothing else.
struct SampleRow {
  int32_t row = 0;          // of `logits`
  int32_t uncond_row = -1;  // of `logits`; >= 0: l = u + (cfg_scale + 1) (c - u)
  float cfg_scale = 0;
  float temperature = 0;  // 0: argmax, ties to the lowest id; else l + temperature * Gumbel
  // Of the tempered softmax only the most probable tokens are kept: until more than top_p is
  // covered, and at most top_k. Tokens tied with the last one kept are kept, too.
  float top_p = 1;               // 1: all
  int32_t top_k = 0;             // 0: all
  int32_t forbidden_token = -1;  // its logit counts as -infinity; -1: none
  // Their logits count as -infinity once the token is chosen: a row that chose one has the
  // confidence 0, others are surer. -1: none. For kProbability and kRandom only.
  int32_t unsure_tokens[2] = {-1, -1};
  // Taken in the place of the token that the rest says; with temperature 0 only. -1: none.
  int32_t target_token = -1;
  ConfidenceRule rule = ConfidenceRule::kProbability;
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t position = 0;
};

// What SampleRows writes, [rows] each, on the device.
struct SampleResults {
  int32_t* tokens = nullptr;
  float* confidences = nullptr;
  // Of the rows with a target its logit less the logsumexp of the row, which is guided and
  // otherwise as it came: no filter and no forbidden or unsure token changes it. The others are
  // left as they are. Null where no row has one.
  float* log_probabilities = nullptr;
};

// `count` rows [first, first + count) of a SampleRows result compete; the `keep` most confident are
// committed, ties to the lower row. With a temperature above 0 they are drawn instead, one after
// the other, with probabilities proportional to exp(confidence / temperature).
struct CommitGroup {
  int32_t first = 0;
  int32_t count = 0;
  int32_t keep = 0;
  float temperature = 0;
  uint64_t seed = 0;  // of the draws, with step; temperature > 0 only
  uint32_t step = 0;
};

// One device, one stream of work. Not thread-safe: one thread at a time may use it. Operations are
// ordered among themselves; on a GPU they may be asynchronous until Sync. A row of any result
// depends only on its own sequence, never on the number of rows, the batch or the threads: the same
// request gives the same bits alone and in any batch.
// Errors of every operation: INVALID_ARGUMENT (shape or dtype not supported), INTERNAL (device).
class Backend {
 public:
  virtual ~Backend() = default;
  virtual BackendInfo Info() const = 0;

  // Memory. Alloc: contents undefined, 64-byte aligned; RESOURCE_EXHAUSTED where there is none.
  virtual absl::StatusOr<Buffer> Alloc(size_t bytes) = 0;
  virtual absl::Status CopyIn(void* device_dst, const void* host_src, size_t bytes) = 0;
  virtual absl::Status CopyOut(void* host_dst, const void* device_src, size_t bytes) = 0;
  virtual absl::Status Sync() = 0;

  // Where the time goes. Mark: what was issued since the last Mark is of `part`; a negative part is
  // not counted. It never waits. ReadMarks: adds what each part took to seconds[part], forgets the
  // marks, and waits for the last of them.
  virtual absl::Status Mark(int32_t part) = 0;
  virtual absl::Status ReadMarks(std::span<double> seconds) = 0;

  // Packs once; what is on the host is not needed afterwards. All parts have the same cols. bias:
  // empty, or a number for every row of the parts.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> PackLinear(
      std::span<const HostMatrix> parts, std::span<const float> bias) = 0;

  // out[t] = table[ids[t]]. out [T, E]; table [V, E] f32, f16 or bf16; ids [T] i32 on the device.
  virtual absl::Status Embed(TensorView out, TensorView table, const int32_t* ids) = 0;
  // out = x * rsqrt(mean(x^2) + eps) * weight. out, x [T, E]; weight [E] f32. out may be x.
  virtual absl::Status RmsNorm(TensorView out, TensorView x, const float* weight, float eps) = 0;
  // out = x W^T + bias, or out += x W^T, which a weight with a bias does not do. The bias is added
  // to the product in float32. x [T, in], out [T, out]; no overlap.
  virtual absl::Status Linear(TensorView out, TensorView x, const LinearWeight& weight,
                              bool accumulate) = 0;
  // Rotates each head of x in place, half-split (NeoX) layout: element j pairs with j + D/2.
  // x [T, heads*D]; positions [T] i32 on the device; cos_sin [max position + 1, D] f32, row =
  // cos of D/2 angles, then sin of D/2 angles.
  virtual absl::Status Rope(TensorView x, const int32_t* positions, const float* cos_sin,
                            int32_t head_dim) = 0;
  // Each head of x, [T, heads*D], in place: x * rsqrt(mean(x^2) + eps) * weight; weight [D] f32.
  virtual absl::Status HeadNorm(TensorView x, const float* weight, float eps, int32_t head_dim) = 0;
  // out = silu(gate) * up, gate_up [T, 2F] with gate in the first F columns. out [T, F].
  virtual absl::Status SiluMul(TensorView out, TensorView gate_up) = 0;
  // A row goes to the `per_row` experts of its largest logits, ties to the lower one; the weights
  // are those of the softmax over all experts, not scaled to a sum of 1. logits [T, experts] f32.
  virtual absl::Status RouteExperts(TensorView logits, int32_t per_row,
                                    const ExpertRouting& routing) = 0;
  // out = x W_e^T, where row s of x and out is slot s and e its expert. One weight an expert, all
  // of one shape and without a bias. x [T K, in], out [T K, out].
  virtual absl::Status GroupedLinear(TensorView out, TensorView x,
                                     std::span<const std::unique_ptr<LinearWeight>> weights,
                                     const int32_t* first_slots) = 0;
  // out[t] += the weighted sum of the rows of x in t's slots, added up by ascending expert. x [T K,
  // E], out [T, E].
  virtual absl::Status SumExperts(TensorView out, TensorView x, const ExpertRouting& routing,
                                  int32_t per_row) = 0;
  // Non-causal attention within each sequence. A row whose mask keeps nothing is written as 0.
  // Never stores anything of size N x N.
  virtual absl::Status Attention(const AttentionParams& params) = 0;
  // *count = how many bits of words [0, num_words) are set. Both lie on the device.
  virtual absl::Status CountBits(const uint64_t* words, int64_t num_words, int64_t* count) = 0;
  // out[r] = x[rows[r]]; rows [R] i32 on the device. out [R, E].
  virtual absl::Status GatherRows(TensorView out, TensorView x, const int32_t* rows) = 0;
  // Samples one token a row. logits [*, V] f32; rows: host memory. A row with a NaN logit gets
  // confidence NaN. The logits of the rows may be overwritten: by the guided ones, and where a
  // token is forbidden or unsure.
  virtual absl::Status SampleRows(TensorView logits, std::span<const SampleRow> rows,
                                  const SampleResults& results) = 0;
  // chosen: on the device, for each group in turn `keep` row indices (into confidences), most
  // confident first. groups: host memory. keep <= count.
  virtual absl::Status CommitRows(const float* confidences, std::span<const CommitGroup> groups,
                                  int32_t* chosen) = 0;
};

struct BackendOptions {
  std::string device = "auto";             // auto, cpu, cuda or cuda:N; auto: a GPU if there is one
  int threads = 0;                         // of the CPU backend; 0: all cores
  WeightType weights = WeightType::kFull;  // auto: where a GPU has no such weights, the CPU
};

// The only factory. `why`, if given, receives what kept auto from taking a GPU. Errors:
// INVALID_ARGUMENT (unknown device, or one without such weights), FAILED_PRECONDITION (not built or
// no such device).
absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options,
                                                       std::string* why = nullptr);

// What a model would take on a device that need not be there: Alloc and PackLinear give what has a
// size and no memory, and Info counts it as that device's backend would. Copies in do nothing,
// operations fail. Device: "cpu" or "cuda". Errors: INVALID_ARGUMENT (another, or one without such
// weights).
absl::StatusOr<std::unique_ptr<Backend>> CreateMeasuringBackend(
    const std::string& device, WeightType weights = WeightType::kFull);

}  // namespace sparsed::kernels
