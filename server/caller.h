// Who makes a call, as its token or certificate says.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace sparsed::server {

struct Caller {
  std::string name;                 // empty: unknown
  std::vector<std::string> models;  // that it may use; empty: every one

  bool MayUse(const std::string& model) const {
    return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
  }
};

}  // namespace sparsed::server
