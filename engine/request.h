// One generation request as the engine takes it: token ids and options, no text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model_info.h"
#include "engine/remasking.h"

namespace sparsed::engine {

enum class SparseMode : uint8_t { kOff, kSparseD, kAuto };
enum class SelectionScale : uint8_t { kHeadDim, kNumHeads };
// What follows an estimate of the recall below the floor: the next step selects anew, or all later
// steps are full.
enum class FloorAction : uint8_t { kRefresh, kFull };
// How many blocks each head keeps: all the same, or as its attention is spread out.
enum class HeadBudgets : uint8_t { kUniform, kByMass };

struct SamplingParams {
  int32_t steps = 0;  // T: 1..G, a multiple of the number of decoding blocks G / block_length
  int32_t block_length = 0;  // of a decoding block; divides G, and is G with Dream's rules
  float temperature = 0;     // 0: greedy; finite, 0..100
  uint64_t seed = 0;
  Remasking remasking = Remasking::kLowConfidence;
  // A step commits all positions that are at least this sure, and no fewer than its schedule says;
  // a decoding block ends once it is committed, so that steps is an upper limit. (0, 1]; where
  // RanksByProbability, without algorithm_temperature.
  std::optional<float> confidence_threshold;
  float cfg_scale = 0;  // > 0: two passes a step, each with its own pattern; finite, 0..100
  // Dream's rules only.
  float top_p = 1;                  // (0, 1]; 1: all tokens
  int32_t top_k = 0;                // 0: all tokens
  float algorithm_temperature = 0;  // of the choice of positions; finite, 0..100
  // LLaDA's rules only: the first end token is never sampled; end tokens are committed last.
  bool logits_eos_inf = false;
  bool confidence_eos_eot_inf = false;
  bool stop_at_end = true;  // do not compute decoding blocks behind the first end token
};

struct SparseParams {
  static constexpr size_t kMaxRefreshSteps = 256;

  SparseMode mode = SparseMode::kAuto;
  double skip = 0.2;                  // share of the steps with full attention; 0..1
  std::optional<double> select;       // rho; default 0.5 up to 1,024 tokens, 0.3 above; (0, 1]
  std::optional<int32_t> block_size;  // B: 32, 64 or 128; default by length
  SelectionScale scale = SelectionScale::kHeadDim;
  bool isolated = true;  // prompt and canvas columns are ranked apart; false: all alike
  HeadBudgets budgets = HeadBudgets::kUniform;
  // Steps that select the pattern anew, each above the one that selects it first and below T, in
  // any order; or every so many steps after that one, while they are in the first refresh_until of
  // T.
  std::vector<int32_t> refresh_steps;
  int32_t refresh_every = 0;            // 0: never; not with refresh_steps
  std::optional<double> refresh_until;  // with refresh_every only; (0, 1], default 0.3
  // Every so many sparse steps after a selection the recall is estimated; see recall_monitor.h.
  int32_t recall_every = 0;            // 0: never, or every 4 with a floor
  std::optional<double> recall_floor;  // [0, 1]
  FloorAction below_floor = FloorAction::kRefresh;
  // From the first step on all full steps select, and once the patterns of two of them overlap by
  // this Jaccard index the next step is sparse; (0, 1]. Without it they are as many as skip says,
  // with it at most as many.
  std::optional<double> switch_overlap;

  friend bool operator==(const SparseParams&, const SparseParams&) = default;
};

// What an inspected request looks at: see engine/inspection.h. In any order.
struct InspectParams {
  static constexpr size_t kMaxSteps = 16;
  static constexpr int32_t kMaxBlocks = 1024;  // of the sequence

  std::vector<int32_t> layers;  // empty: all
  std::vector<int32_t> heads;   // empty: all
  std::vector<int32_t> steps;  // the one that selects the request's own pattern is always inspected
  bool importance = false;     // the importances are wanted, too
};

struct Request {
  std::vector<int32_t> ids;     // N ids, the mask token at every canvas position and nowhere else
  std::vector<int32_t> canvas;  // the G canvas positions, ascending; not empty
  // What is committed at each canvas position, G ids without the mask token, whatever the model
  // says; nothing is drawn, forbidden or cut then. Empty: what the sampler says.
  std::vector<int32_t> target_ids;
  SamplingParams sampling;
  SparseParams sparse;
  std::optional<InspectParams> inspect;
};

// A request of `prompt` followed by `gen_length` canvas positions.
Request MakeRequest(const std::vector<int32_t>& prompt, int32_t gen_length, int32_t mask_token_id);

// What is wrong with one field; `field` is the path in the wire contract ("sampling.steps").
struct FieldViolation {
  std::string field;
  std::string description;  // names the value and the limit
};

// What is wrong with the numbers that an inspection of `steps` denoising steps names.
std::vector<FieldViolation> CheckInspection(const InspectParams& params, int32_t steps,
                                            const ModelInfo& model);

// Everything that is wrong with the request for this model; empty if it can be run.
std::vector<FieldViolation> CheckRequest(const Request& request, const ModelInfo& model);

}  // namespace sparsed::engine
