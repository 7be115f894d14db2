// What every call of ours goes through first: it gets its ids, and its caller is known.
// Next: server/validate.h
#pragma once

#include <grpcpp/server_context.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/access_log.h"
#include "server/auth.h"

namespace sparsed::server {

// Thread-safe.
class Entry {
 public:
  // auth is borrowed; random must be thread-safe. model: what a request without a name means.
  Entry(const Auth* auth, std::function<uint64_t()> random, std::string model)
      : auth_(auth), random_(std::move(random)), model_(std::move(model)) {}

  // What a call says of itself: the values of a header, by its name in lower case.
  using Headers = std::function<std::vector<std::string>(const char* name)>;

  // The call's ids: x-request-id of the caller where it is a valid one, else a new UUID; the trace
  // of its traceparent, else a new one.
  CallInfo Describe(const Headers& headers, const std::string& peer, const char* surface,
                    const char* method) const;
  CallInfo Describe(const grpc::CallbackServerContext& context, const char* surface,
                    const char* method) const;
  // UNAUTHENTICATED, or nothing: then the caller is in `info`, of its token or certificate.
  std::optional<Failure> Authenticate(const Headers& headers, CallInfo& info) const;
  std::optional<Failure> Authenticate(const grpc::CallbackServerContext& context,
                                      CallInfo& info) const;
  // PERMISSION_DENIED where the caller may not use the model; whether there is such a one, it does
  // not say. model: as the request names it; empty: it does not.
  std::optional<Failure> Authorize(const Caller& caller, const std::string& model) const;

 private:
  const Auth* auth_;
  std::function<uint64_t()> random_;
  std::string model_;
};

}  // namespace sparsed::server
