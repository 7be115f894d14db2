#include "server/auth.h"

#include <utility>

#include "absl/strings/match.h"
#include "engine/status_macros.h"

namespace sparsed::server {

absl::Status Auth::Load() {
  if (path_.empty()) return absl::OkStatus();
  SPARSED_ASSIGN_OR_RETURN(Entries read, ReadTokenFile(path_));
  auto fresh = std::make_shared<const Entries>(std::move(read));
  const std::lock_guard lock(mu_);
  entries_ = std::move(fresh);
  return absl::OkStatus();
}

std::shared_ptr<const Auth::Entries> Auth::entries() const {
  const std::lock_guard lock(mu_);
  return entries_;
}

size_t Auth::tokens() const { return entries()->size(); }

std::optional<Failure> Auth::Check(const std::vector<std::string>& headers, Caller* caller) const {
  static constexpr char kScheme[] = "bearer ";
  constexpr size_t kSchemeBytes = sizeof(kScheme) - 1;
  if (path_.empty()) return std::nullopt;
  if (headers.empty()) return TokenMissing();
  if (headers.size() > 1 || !absl::StartsWithIgnoreCase(headers[0], kScheme)) return TokenInvalid();
  std::optional<Caller> found = FindToken(*entries(), headers[0].substr(kSchemeBytes));
  if (!found) return TokenInvalid();
  *caller = *std::move(found);
  return std::nullopt;
}

}  // namespace sparsed::server
