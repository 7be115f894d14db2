// What gRPC itself has to say, handshakes that fail above all, as lines of the log.
#pragma once

#include "server/log.h"

namespace sparsed::server {

// As long as it lives; one at a time. What gRPC says later goes nowhere.
class GrpcMessages {
 public:
  explicit GrpcMessages(const Log* log);
  ~GrpcMessages();
  GrpcMessages(const GrpcMessages&) = delete;
  GrpcMessages& operator=(const GrpcMessages&) = delete;
};

}  // namespace sparsed::server
