// Who may call: bearer tokens, read again while the server runs.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/caller.h"
#include "server/errors.h"
#include "server/token_file.h"

namespace sparsed::server {

// Thread-safe.
class Auth {
 public:
  // path: of the token file; empty: everyone is let in.
  explicit Auth(std::string path) : path_(std::move(path)) {}

  // Reads the file. On an error the tokens stay as they were. Errors: ReadTokenFile's.
  absl::Status Load();
  size_t tokens() const;

  // headers: the call's values of `authorization`. Sets *caller to the token's, where there is one.
  // UNAUTHENTICATED where a token is needed and there is none, or not exactly one that is known.
  std::optional<Failure> Check(const std::vector<std::string>& headers, Caller* caller) const;

 private:
  using Entries = std::vector<TokenEntry>;
  std::shared_ptr<const Entries> entries() const;

  const std::string path_;
  mutable std::mutex mu_;
  std::shared_ptr<const Entries> entries_ = std::make_shared<Entries>();  // guarded by mu_
};

}  // namespace sparsed::server
