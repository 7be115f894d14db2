// Everything that is wrong with a request, field by field.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/request.h"

namespace sparsed::server {

class Violations {
 public:
  Violations() = default;
  explicit Violations(std::vector<engine::FieldViolation> list)
      : list_(std::move(list)), total_(list_.size()) {}

  template <typename... Parts>
  void Add(const std::string& field, const Parts&... description) {
    ++total_;
    // A megabyte of bad ids must not become a gigabyte of complaints.
    if (list_.size() < kMaxKept) list_.push_back({field, absl::StrCat(description...)});
  }
  bool empty() const { return total_ == 0; }
  size_t total() const { return total_; }
  const std::vector<engine::FieldViolation>& list() const { return list_; }  // the first ones

 private:
  static constexpr size_t kMaxKept = 64;
  std::vector<engine::FieldViolation> list_;
  size_t total_ = 0;
};

template <typename... Parts>
Violations OneViolation(const std::string& field, const Parts&... description) {
  Violations violations;
  violations.Add(field, description...);
  return violations;
}

}  // namespace sparsed::server
