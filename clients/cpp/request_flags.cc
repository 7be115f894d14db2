#include "clients/cpp/request_flags.h"

#include <map>

namespace sparsed::clients {
namespace {

const std::map<std::string, v1::Remasking> kRemaskings = {
    {"low-confidence", v1::REMASKING_LOW_CONFIDENCE},
    {"random", v1::REMASKING_RANDOM},
    {"origin", v1::REMASKING_ORIGIN},
    {"maskgit-plus", v1::REMASKING_MASKGIT_PLUS},
    {"topk-margin", v1::REMASKING_TOPK_MARGIN},
    {"entropy", v1::REMASKING_ENTROPY}};

const std::map<std::string, v1::SparseMode> kSparseFlagValues = {
    {"auto", v1::SPARSE_MODE_AUTO},
    {"off", v1::SPARSE_MODE_OFF},
    {"sparsed", v1::SPARSE_MODE_SPARSED}};

const std::map<std::string, v1::SelectionScale> kScales = {
    {"head-dim", v1::SELECTION_SCALE_HEAD_DIM}, {"n-heads", v1::SELECTION_SCALE_N_HEADS}};

const std::map<std::string, v1::SparsePreset> kPresets = {{"balanced", v1::SPARSE_PRESET_BALANCED},
                                                          {"exact", v1::SPARSE_PRESET_EXACT},
                                                          {"fast", v1::SPARSE_PRESET_FAST}};

const std::map<std::string, v1::FloorAction> kFloorActions = {
    {"full", v1::FLOOR_ACTION_FULL}, {"refresh", v1::FLOOR_ACTION_REFRESH}};

const std::map<std::string, v1::HeadBudgets> kHeadBudgets = {{"by-mass", v1::HEAD_BUDGETS_BY_MASS},
                                                             {"uniform", v1::HEAD_BUDGETS_UNIFORM}};

// An option whose values have names; --help lists the names alone.
template <class Enum>
void AddNamed(CLI::App& command, const std::string& flag, std::optional<Enum>& value,
              const std::map<std::string, Enum>& names, const std::string& help) {
  std::string list;
  for (const auto& [name, unused] : names) list += (list.empty() ? "" : "|") + name;
  const auto store = [&value, &names](const std::string& name) { value = names.at(name); };
  command.add_option_function<std::string>(flag, store, help)
      ->check([&names, list](const std::string& name) {
        return names.count(name) > 0 ? std::string() : "must be one of " + list;
      })
      ->type_name(list);
}

// What only the rules of one family know.
void AddRuleFlags(CLI::App& command, RequestFlags& flags) {
  command.add_option("--top-p", flags.top_p, "Nucleus sampling, Dream's rules (default 1, off)")
      ->type_name("X");
  command.add_option("--top-k", flags.top_k, "Top-k sampling, Dream's rules (default 0, off)")
      ->type_name("N");
  command
      .add_option("--algorithm-temperature", flags.algorithm_temperature,
                  "Of the choice of positions, Dream's rules (default 0)")
      ->type_name("X");
  command.add_flag("--logits-eos-inf", flags.logits_eos_inf,
                   "Never sample the end of the text, LLaDA's rules");
  command.add_flag("--confidence-eos-eot-inf", flags.confidence_eos_eot_inf,
                   "Commit the ends of text and turn last, LLaDA's rules");
}

void AddSamplingFlags(CLI::App& command, FlagSet set, RequestFlags& flags) {
  if (set == FlagSet::kGenerate) {
    command.add_option("--gen-length", flags.gen_length, "Canvas length in tokens (default 128)")
        ->type_name("N");
  }
  command.add_option("--steps", flags.steps, "Denoising steps (default: the canvas length)")
      ->type_name("N");
  command.add_option("--block-length", flags.block_length, "Decoding block in tokens (default 32)")
      ->type_name("N");
  command.add_option("--temperature", flags.temperature, "0 is greedy (default 0)")->type_name("X");
  command.add_option("--seed", flags.seed, "Seed of the random numbers (default: the server's)")
      ->type_name("N");
  AddNamed(command, "--remasking", flags.remasking, kRemaskings,
           "Which positions are committed first (default: the model's)");
  command.add_option("--cfg-scale", flags.cfg_scale, "Classifier-free guidance (default 0, off)")
      ->type_name("X");
  command
      .add_option("--confidence-threshold", flags.confidence_threshold,
                  "Commit all that are at least this sure: fewer steps (default: none)")
      ->type_name("X");
  AddRuleFlags(command, flags);
  command.add_flag("--no-stop-at-end", flags.no_stop_at_end,
                   "Denoise the whole canvas, also behind an end token");
  if (set == FlagSet::kGenerate) {
    command.add_option("--stop", flags.stop, "Cut the text before this; may be repeated")
        ->type_name("TEXT")
        ->allow_extra_args(false);
  }
}

// Sparse attention that selects more than once, watches what it loses, or decides when it begins.
void AddAdaptiveFlags(CLI::App& command, RequestFlags& flags) {
  command
      .add_option("--refresh-steps", flags.refresh_steps,
                  "Steps that select the blocks anew, with commas between them")
      ->type_name("N,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option("--refresh-every", flags.refresh_every,
                  "Select the blocks anew every so many steps after the first; 0: never "
                  "(default: the preset's, never without one)")
      ->type_name("N");
  command
      .add_option(
          "--refresh-until", flags.refresh_until,
          "Within this first share of the steps only (default: the preset's, 0.3 without one)")
      ->type_name("X");
  command
      .add_option("--recall-every", flags.recall_every,
                  "Estimate the recall every so many sparse steps (default: never, 4 with a floor)")
      ->type_name("N");
  command
      .add_option("--recall-floor", flags.recall_floor,
                  "Act where an estimate is below (default: do nothing)")
      ->type_name("X");
  AddNamed(command, "--below-floor", flags.below_floor, kFloorActions,
           "Select the blocks anew, or go on in full attention (default refresh)");
  command
      .add_option("--switch-overlap", flags.switch_overlap,
                  "Sparse once two steps in a row select blocks that overlap by this share")
      ->type_name("X");
}

}  // namespace

void AddSparseFlag(CLI::App& command, std::optional<v1::SparseMode>& mode) {
  AddNamed(command, "--sparse", mode, kSparseFlagValues,
           "Sparse attention; auto: from 1,024 tokens on (default auto)");
}

void AddRequestFlags(CLI::App& command, FlagSet set, RequestFlags& flags) {
  command.add_option("--model", flags.model, "Name of the model (default: the served one)");
  AddSamplingFlags(command, set, flags);
  AddSparseFlag(command, flags.sparse);
  AddNamed(command, "--preset", flags.preset, kPresets,
           "What the other sparse options are by default (default balanced, with sparsed none)");
  command
      .add_option("--skip", flags.skip,
                  "Share of steps in full attention (default: the preset's, 0.2 without one)")
      ->type_name("X");
  command.add_option("--select", flags.select, "Share of key blocks kept per row")->type_name("X");
  command.add_option("--block-size", flags.block_size, "Attention block: 32, 64 or 128 tokens")
      ->type_name("N");
  AddNamed(command, "--scale", flags.scale, kScales,
           "Scale of the scores when blocks are chosen (default head-dim)");
  command.add_flag("--no-isolation", flags.not_isolated,
                   "Choose among the blocks of prompt and canvas together");
  AddNamed(command, "--budgets", flags.budgets, kHeadBudgets,
           "How the kept blocks are shared out among the heads (default uniform)");
  AddAdaptiveFlags(command, flags);
  command.add_option("--priority", flags.priority, "Higher is served first (default 0)")
      ->type_name("N");
  command.add_option("--request-id", flags.request_id, "Id of the request (default: the server's)")
      ->type_name("ID");
  command.add_flag("--token-confidences", flags.token_confidences,
                   "With --json: confidence and commit step of every token");
  command
      .add_option("--target-ids", flags.target_ids,
                  "Commit these tokens, with commas between them; with --json the logarithms of"
                  " their probabilities")
      ->type_name("N,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option("--deadline-seconds", flags.deadline_seconds,
                  "Give up after this long (default: never)")
      ->type_name("X")
      ->check(CLI::PositiveNumber);
  command.add_flag("--json", flags.json, "Print the GenerateResponse as JSON");
}

v1::GenerateRequest ToRequest(const RequestFlags& flags) {
  v1::GenerateRequest request;
  request.set_model(flags.model);
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  if (flags.gen_length) sampling.set_gen_length(*flags.gen_length);
  if (flags.steps) sampling.set_steps(*flags.steps);
  if (flags.block_length) sampling.set_block_length(*flags.block_length);
  if (flags.temperature) sampling.set_temperature(*flags.temperature);
  if (flags.seed) sampling.set_seed(*flags.seed);
  if (flags.remasking) sampling.set_remasking(*flags.remasking);
  if (flags.cfg_scale) sampling.set_cfg_scale(*flags.cfg_scale);
  if (flags.confidence_threshold) sampling.set_confidence_threshold(*flags.confidence_threshold);
  if (flags.top_p) sampling.set_top_p(*flags.top_p);
  if (flags.top_k) sampling.set_top_k(*flags.top_k);
  if (flags.algorithm_temperature) {
    sampling.set_algorithm_temperature(*flags.algorithm_temperature);
  }
  sampling.set_logits_eos_inf(flags.logits_eos_inf);
  sampling.set_confidence_eos_eot_inf(flags.confidence_eos_eot_inf);
  if (flags.no_stop_at_end) sampling.set_stop_at_end(false);
  for (const std::string& stop : flags.stop) sampling.add_stop(stop);
  v1::SparseOptions& sparse = *request.mutable_sparse();
  if (flags.sparse) sparse.set_mode(*flags.sparse);
  if (flags.preset) sparse.set_preset(*flags.preset);
  if (flags.skip) sparse.set_skip(*flags.skip);
  if (flags.select) sparse.set_select(*flags.select);
  if (flags.block_size) sparse.set_block_size(*flags.block_size);
  if (flags.scale) sparse.set_scale(*flags.scale);
  for (const uint32_t step : flags.refresh_steps) sparse.add_refresh_steps(step);
  if (flags.refresh_every) sparse.set_refresh_every(*flags.refresh_every);
  if (flags.refresh_until) sparse.set_refresh_until(*flags.refresh_until);
  if (flags.recall_every) sparse.set_recall_every(*flags.recall_every);
  if (flags.recall_floor) sparse.set_recall_floor(*flags.recall_floor);
  if (flags.below_floor) sparse.set_below_floor(*flags.below_floor);
  if (flags.switch_overlap) sparse.set_switch_overlap(*flags.switch_overlap);
  if (flags.not_isolated) sparse.set_isolated(false);
  if (flags.budgets) sparse.set_budgets(*flags.budgets);
  if (flags.priority) request.set_priority(*flags.priority);
  request.set_request_id(flags.request_id);
  request.set_token_confidences(flags.token_confidences);
  for (const uint32_t id : flags.target_ids) request.add_target_ids(id);
  return request;
}

}  // namespace sparsed::clients
