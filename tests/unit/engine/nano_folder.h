// A folder with nano's files, some of them changed.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/testing/catch.h"

namespace sparsed::testing {

inline std::string NanoPath() { return SPARSED_SOURCE_DIR "/deploy/models/nano"; }

class NanoFolder {
 public:
  NanoFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sparsed-nano-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    for (const auto& entry : std::filesystem::directory_iterator(NanoPath())) {
      if (!entry.is_regular_file()) continue;
      std::filesystem::create_symlink(entry.path(), dir_ / entry.path().filename());
    }
  }
  // With one file changed by replacing `from` by `to`.
  NanoFolder(const std::string& name, const std::string& from, const std::string& to)
      : NanoFolder() {
    std::ifstream in(dir_ / name, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    Write(name, text.replace(at, from.size(), to));
  }
  ~NanoFolder() { std::filesystem::remove_all(dir_); }

  void Remove(const std::string& name) const { std::filesystem::remove(dir_ / name); }
  void Write(const std::string& name, const std::string& text) const {
    Remove(name);
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  std::string dir() const { return dir_.string(); }

 private:
  std::filesystem::path dir_;
};

}  // namespace sparsed::testing
