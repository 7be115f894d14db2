#include "engine/checkpoint/checkpoint.h"

#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;
using kernels::DType;
using kernels::HostMatrix;

constexpr uint64_t kMaxIndexBytes = 100'000'000;

// Which shard (key) holds which tensors.
using ShardMap = std::map<std::string, std::set<std::string>>;

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// A shard lies in the folder itself: no path that could leave it.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

absl::StatusOr<ShardMap> ReadIndex(const std::string& path) {
  SPARSED_ASSIGN_OR_RETURN(const Json index, ReadJsonFile(path, kMaxIndexBytes));
  const auto error = [&](const std::string& reason) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", reason));
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return error("has no object weight_map");
  }
  ShardMap shards;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string()) {
      return error(absl::StrCat("weight_map: the file of ", Quoted(tensor), " is not a string"));
    }
    const std::string name = file.get<std::string>();
    if (!IsPlainFileName(name)) {
      return error(absl::StrCat("weight_map: the file of ", Quoted(tensor), " is ", Quoted(name),
                                ", not a plain file name"));
    }
    shards[name].insert(tensor);
  }
  if (shards.empty()) return error("weight_map is empty");
  return shards;
}

std::optional<DType> SupportedDType(const std::string& name) {
  if (name == "BF16") return DType::kBF16;
  if (name == "F16") return DType::kF16;
  if (name == "F32") return DType::kF32;
  return std::nullopt;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& dir) {
  if (!Exists(dir)) return absl::NotFoundError(absl::StrCat(dir, ": no such folder"));
  const std::string index_path = absl::StrCat(dir, "/model.safetensors.index.json");
  const std::string single_path = absl::StrCat(dir, "/model.safetensors");
  Checkpoint checkpoint;
  if (Exists(index_path)) {
    SPARSED_RETURN_IF_ERROR(checkpoint.OpenShards(dir, index_path));
  } else if (Exists(single_path)) {
    SPARSED_RETURN_IF_ERROR(checkpoint.Add(single_path));
  } else {
    return absl::NotFoundError(
        absl::StrCat(dir, ": has neither model.safetensors nor model.safetensors.index.json"));
  }
  return checkpoint;
}

absl::Status Checkpoint::OpenShards(const std::string& dir, const std::string& index_path) {
  SPARSED_ASSIGN_OR_RETURN(const ShardMap shards, ReadIndex(index_path));
  for (const auto& [file_name, names] : shards) {
    const std::string path = absl::StrCat(dir, "/", file_name);
    if (!Exists(path)) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": names ", Quoted(file_name), ", which is not in the folder"));
    }
    SPARSED_RETURN_IF_ERROR(Add(path));
    const std::map<std::string, TensorEntry>& held = files_.back().tensors();
    for (const std::string& name : names) {
      if (held.count(name) == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": has no tensor ", Quoted(name), ", which the index places there"));
      }
    }
    for (const auto& [name, entry] : held) {
      if (names.count(name) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": holds tensor ", Quoted(name),
                                                       ", which the index does not place there"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Checkpoint::Add(const std::string& path) {
  SPARSED_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  files_.push_back(std::move(file));
  for (const auto& [name, entry] : files_.back().tensors()) {
    if (!tensors_.emplace(name, &entry).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": holds tensor ", Quoted(name), ", which another shard holds too"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<HostMatrix> Checkpoint::Matrix(const std::string& name, int64_t rows,
                                              int64_t cols) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat("tensor ", Quoted(name), ": not in the checkpoint"));
  }
  const TensorEntry& entry = *found->second;
  const std::vector<int64_t> wanted = {rows, cols};
  const bool is_vector = rows == 1 && entry.shape == std::vector<int64_t>{cols};
  if (!is_vector && entry.shape != wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(name), ": has shape ", ShapeText(entry.shape),
                     ", wanted is ", rows == 1 ? ShapeText({cols}) : ShapeText(wanted)));
  }
  const std::optional<DType> dtype = SupportedDType(entry.dtype);
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(name), ": has dtype ",
                                                   entry.dtype, "; supported: BF16, F16, F32"));
  }
  return HostMatrix{entry.data, *dtype, rows, cols};
}

void Checkpoint::Release(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) ReleaseMapped(*found->second);
}

std::vector<std::string> Checkpoint::TensorNames() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

uint64_t Checkpoint::parameters() const {
  uint64_t sum = 0;
  for (const auto& [name, entry] : tensors_) sum += entry->elements;
  return sum;
}

uint64_t Checkpoint::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, entry] : tensors_) sum += entry->bytes;
  return sum;
}

std::string Checkpoint::dtype() const {
  std::set<std::string> names;
  for (const auto& [name, entry] : tensors_) names.insert(entry->dtype);
  if (names.size() != 1) return "mixed";
  if (*names.begin() == "BF16") return "bf16";
  if (*names.begin() == "F16") return "f16";
  if (*names.begin() == "F32") return "f32";
  return *names.begin();
}

}  // namespace sparsed::engine
