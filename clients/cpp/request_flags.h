// The fields of a GenerateRequest as flags, shared by generate, chat and infill.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// Values of the flags; what is not given is not sent, so that the server's defaults hold. Ranges
// are the server's to check.
struct RequestFlags {
  std::string model;
  std::optional<uint32_t> gen_length;
  std::optional<uint32_t> steps;
  std::optional<uint32_t> block_length;
  std::optional<float> temperature;
  std::optional<uint64_t> seed;
  std::optional<v1::Remasking> remasking;
  std::optional<float> cfg_scale;
  std::optional<float> confidence_threshold;
  std::optional<float> top_p;
  std::optional<uint32_t> top_k;
  std::optional<float> algorithm_temperature;
  bool logits_eos_inf = false;
  bool confidence_eos_eot_inf = false;
  bool no_stop_at_end = false;
  std::vector<std::string> stop;
  std::optional<v1::SparseMode> sparse;
  std::optional<v1::SparsePreset> preset;
  std::optional<float> skip;
  std::optional<float> select;
  std::optional<uint32_t> block_size;
  std::optional<v1::SelectionScale> scale;
  std::vector<uint32_t> refresh_steps;
  std::optional<uint32_t> refresh_every;
  std::optional<float> refresh_until;
  std::optional<uint32_t> recall_every;
  std::optional<float> recall_floor;
  std::optional<v1::FloorAction> below_floor;
  std::optional<float> switch_overlap;
  bool not_isolated = false;
  std::optional<v1::HeadBudgets> budgets;
  std::optional<int32_t> priority;
  std::string request_id;
  bool token_confidences = false;
  std::vector<uint32_t> target_ids;
  // Of the client, not of the request.
  std::optional<double> deadline_seconds;
  bool json = false;
};

// Adds the flags to `command`, to be stored in `flags`, which must outlive it. Infill has neither
// --gen-length nor --stop: the holes state the length.
enum class FlagSet { kGenerate, kInfill };
void AddRequestFlags(CLI::App& command, FlagSet set, RequestFlags& flags);

// Adds --sparse with its values; eval has it too.
void AddSparseFlag(CLI::App& command, std::optional<v1::SparseMode>& mode);

// A request with everything but its input.
v1::GenerateRequest ToRequest(const RequestFlags& flags);

}  // namespace sparsed::clients
