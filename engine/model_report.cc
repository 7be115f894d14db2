#include "engine/model_report.h"

#include <algorithm>
#include <map>
#include <memory>

#include "engine/checkpoint/architectures.h"
#include "engine/folder_parts.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

struct Device {
  const char* name;
  kernels::WeightType weights;
};
constexpr Device kDevices[] = {{"cpu", kernels::WeightType::kFull},
                               {"cpu", kernels::WeightType::kInt8},
                               {"cuda", kernels::WeightType::kFull}};
// Requests whose patterns are measured, as far as the longest one goes, and that itself.
constexpr int32_t kLengths[] = {1024, 4096, 16384, 65536, 1 << 18, 1 << 20, 1 << 24};

// The checkpoint's tensors; for those that are missing or wrong others of the right shape, so that
// all problems are found.
class CheckedSource {
 public:
  explicit CheckedSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  SourceMatrix Get(const std::string& name, int64_t rows, int64_t cols) {
    const auto matrix = checkpoint_.Matrix(name, rows, cols);
    if (matrix.ok()) return {*matrix, {}, {}};
    if (!absl::IsNotFound(matrix.status())) {
      problems_.emplace(name, std::string(matrix.status().message()));
    }
    SourceMatrix other;
    // Only vectors are looked into while weights are counted.
    if (rows == 1) other.storage.resize(static_cast<size_t>(cols));
    other.matrix = {other.storage.data(), kernels::DType::kBF16, rows, cols};
    return other;
  }

  const std::map<std::string, std::string>& problems() const { return problems_; }

 private:
  const Checkpoint& checkpoint_;
  std::map<std::string, std::string> problems_;  // by tensor
};

// `tokens` of them, half prompt and half canvas.
Request SparseRequest(int32_t tokens, const ModelInfo& info) {
  Request request = MakeRequest(std::vector<int32_t>(static_cast<size_t>(tokens - tokens / 2)),
                                tokens / 2, info.mask_token_id);
  request.sampling.steps = request.sampling.block_length = tokens / 2;
  request.sparse.mode = SparseMode::kSparseD;
  return request;
}

absl::Status Measure(const ModelInfo& info, CheckedSource& tensors, const EngineOptions& options,
                     int32_t longest_request, DeviceNeeds& needs) {
  SPARSED_ASSIGN_OR_RETURN(auto backend,
                           kernels::CreateMeasuringBackend(needs.device, needs.weights));
  const uint64_t own_bytes = backend->Info().allocated_bytes;
  const WeightSource source = [&tensors](const std::string& name, int64_t rows, int64_t cols) {
    return tensors.Get(name, rows, cols);
  };
  SPARSED_ASSIGN_OR_RETURN(auto model, CreateModel(info, source, *backend, {}));
  const uint64_t loaded_bytes = backend->Info().allocated_bytes;
  SPARSED_ASSIGN_OR_RETURN(const auto engine,
                           Engine::Create(std::move(backend), std::move(model), options));
  needs.weights_bytes = loaded_bytes - own_bytes;
  needs.workspace_bytes = engine->backend_info().allocated_bytes - needs.weights_bytes;
  for (const int32_t length : kLengths) {
    const int32_t tokens = std::min({length, info.max_tokens, longest_request});
    if (tokens < 2 || (!needs.patterns.empty() && needs.patterns.back().first == tokens)) break;
    const Reservation reservation = engine->Estimate(SparseRequest(tokens, info));
    needs.patterns.emplace_back(tokens, reservation.mask_cache_bytes);
  }
  return absl::OkStatus();
}

TokenText TextOf(int32_t id, const Tokenizer* tokenizer) {
  return {id, tokenizer == nullptr ? "" : tokenizer->Decode({id}, /*keep_special=*/true)};
}

}  // namespace

ModelReport CheckModelFolder(const std::string& dir, const EngineOptions& options,
                             int32_t longest_request) {
  FolderParts parts = ReadFolderParts(dir);
  ModelReport report;
  report.architectures = ReadArchitectures(dir);
  report.info = parts.info;
  report.generation = parts.generation;
  for (const absl::Status& problem : parts.problems) {
    report.problems.emplace_back(problem.message());
  }
  if (parts.tokenizer != nullptr) {
    report.tokenizer = parts.tokenizer->Describe();
    report.tokenizer_ids = parts.tokenizer->vocab_size();
  }
  if (parts.info) {
    report.mask_token = TextOf(parts.info->mask_token_id, parts.tokenizer.get());
    for (const int32_t id : parts.info->end_token_ids) {
      report.end_tokens.push_back(TextOf(id, parts.tokenizer.get()));
    }
  }
  report.has_chat_template = parts.chat_template != nullptr;
  report.missing_tensors = std::move(parts.missing_tensors);
  report.extra_tensors = std::move(parts.extra_tensors);
  if (!parts.checkpoint) return report;
  report.tensors_found = parts.checkpoint->TensorNames().size();
  report.tensor_bytes = parts.checkpoint->bytes();
  report.tensor_dtype = parts.checkpoint->dtype();
  if (!parts.info) return report;
  CheckedSource tensors(*parts.checkpoint);
  for (const Device& device : kDevices) {
    DeviceNeeds needs;
    needs.device = device.name;
    needs.weights = device.weights;
    const absl::Status status = Measure(*parts.info, tensors, options, longest_request, needs);
    if (!status.ok()) needs.error = std::string(status.message());
    report.devices.push_back(std::move(needs));
  }
  for (const auto& [name, problem] : tensors.problems()) {
    report.problems.push_back(dir + ": " + problem);
  }
  return report;
}

}  // namespace sparsed::engine
