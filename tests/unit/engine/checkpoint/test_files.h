// Files for the checkpoint tests, made in a temporary folder.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/testing/catch.h"

namespace sparsed::engine::testing {

// A new empty folder, removed with everything in it by the destructor.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sparsed-test-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    const std::string path = path_ + "/" + name;
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    file.close();
    REQUIRE(file.good());
    return path;
  }

 private:
  std::string path_;
};

inline std::string Prefix(uint64_t header_bytes) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header_bytes >> (8 * i));
  return bytes;
}

// A safetensors file: `header` with its true length, then `data_bytes` bytes of data 0, 1, 2, ...
inline std::string Safetensors(const std::string& header, uint64_t data_bytes) {
  std::string bytes = Prefix(header.size()) + header;
  for (uint64_t i = 0; i < data_bytes; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// One entry of a header.
inline std::string Tensor(const std::string& name, const std::string& dtype,
                          const std::string& shape, uint64_t begin, uint64_t end) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                      ",\"data_offsets\":[", begin, ",", end, "]}");
}

inline std::string Header(const std::vector<std::string>& entries) {
  return absl::StrCat("{", absl::StrJoin(entries, ","), "}");
}

}  // namespace sparsed::engine::testing
