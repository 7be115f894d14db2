// Reads safetensors files through a read-only mapping. Format: huggingface/safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sparsed::engine {

struct TensorEntry {
  std::string dtype;              // as written: "BF16"
  std::vector<int64_t> shape;     // none negative; empty for a scalar
  const uint8_t* data = nullptr;  // in the mapping; may be unaligned
  uint64_t bytes = 0;
  uint64_t elements = 0;  // product of the shape
};

// A mapped file. Move-only, immutable; the entries and their data live as long as it does, also
// when it is moved. The file must not be shortened while it is mapped.
class SafetensorsFile {
 public:
  // Errors: NOT_FOUND; INVALID_ARGUMENT with the file and the reason for every malformed header.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;
  ~SafetensorsFile();

  const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }

 private:
  SafetensorsFile() = default;
  void* mapping_ = nullptr;
  uint64_t mapping_bytes_ = 0;
  std::map<std::string, TensorEntry> tensors_;
};

// Drops the whole pages of an entry of a mapped file from memory; a later use reads them again.
void ReleaseMapped(const TensorEntry& entry);

// The tensors of a whole file of `bytes` bytes that lies at `file`, with every check of the
// reference reader and duplicate keys refused besides. Reads the header only. Errors:
// INVALID_ARGUMENT with the reason, naming the tensor where there is one.
absl::StatusOr<std::map<std::string, TensorEntry>> ParseSafetensors(const uint8_t* file,
                                                                    uint64_t bytes);

}  // namespace sparsed::engine
