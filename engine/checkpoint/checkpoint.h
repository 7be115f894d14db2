// A checkpoint folder: its configuration and all its tensors, mapped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/model_info.h"
#include "kernels/tensor_view.h"

namespace sparsed::engine {

// config.json of one of the known architectures. end_token_ids holds the config's own end token
// only; parameters is 0; dtype is torch_dtype's and empty where there is none (Checkpoint knows
// both from the tensors). Keys that no inference depends on are ignored. Errors: NOT_FOUND;
// INVALID_ARGUMENT naming the key, its value and what is supported: a switch we do not implement is
// refused, never ignored.
absl::StatusOr<ModelInfo> ReadModelConfig(const std::string& dir);
absl::StatusOr<ModelInfo> ParseModelConfig(const std::string& json);

// Immutable. Matrices borrow from the mappings: keep the Checkpoint until they are packed.
class Checkpoint {
 public:
  // The shards of model.safetensors.index.json, or else model.safetensors. The index and the shards
  // must name the same tensors, each once. Errors: NOT_FOUND (no folder or neither file),
  // INVALID_ARGUMENT (with file and reason: missing shard, tensor in no or two shards, a path that
  // leaves the folder).
  static absl::StatusOr<Checkpoint> Open(const std::string& dir);

  // The tensor as a matrix [rows, cols]; a vector is [1, n]. Errors: INVALID_ARGUMENT naming the
  // tensor, what it has and what is wanted; NOT_FOUND.
  absl::StatusOr<kernels::HostMatrix> Matrix(const std::string& name, int64_t rows,
                                             int64_t cols) const;
  // Gives the tensor's memory back to the system; it is read from its file again when it is used
  // again. Unknown names are ignored.
  void Release(const std::string& name) const;
  std::vector<std::string> TensorNames() const;  // sorted
  uint64_t parameters() const;                   // elements of all tensors
  uint64_t bytes() const;                        // of all tensors
  std::string dtype() const;  // that all tensors share: "bf16", "f16", "f32"; or "mixed"

 private:
  Checkpoint() = default;
  absl::Status OpenShards(const std::string& dir, const std::string& index_path);
  absl::Status Add(const std::string& path);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const TensorEntry*> tensors_;
};

}  // namespace sparsed::engine
