// Reads gzip files, such as the goldens are.
#pragma once

#include <zlib.h>

#include <string>

#include "tests/testing/catch.h"

namespace sparsed::testing {

// The file's contents, uncompressed; a file that is not gzip as it is.
inline std::string ReadGzipFile(const std::string& path) {
  INFO(path);
  const gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  std::string contents;
  char buffer[1 << 16];
  int read = 0;
  while ((read = gzread(file, buffer, sizeof(buffer))) > 0) contents.append(buffer, read);
  REQUIRE(read == 0);
  REQUIRE(gzclose(file) == Z_OK);
  return contents;
}

}  // namespace sparsed::testing
