// sparsed.v1.InspectionService: a generation that shows its patterns.
// Next: server/submit.h, server/inspection_outbox.h
#pragma once

#include <utility>

#include "server/entry.h"
#include "server/inspection_outbox.h"
#include "server/open_streams.h"
#include "server/submit.h"
#include "sparsed/v1/inspection.grpc.pb.h"

namespace sparsed::server {

// Takes bytes instead of messages: see server/wire.h.
using RawInspectionService =
    v1::InspectionService::WithRawCallbackMethod_Inspect<v1::InspectionService::Service>;

// Thread-safe; called by gRPC's threads, none of which it ever blocks.
class InspectionService final : public RawInspectionService {
 public:
  // All borrowed for the service's life.
  struct Parts {
    const Submitter* submitter = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
    InspectionBudget* budget = nullptr;
  };
  explicit InspectionService(Parts parts) : parts_(parts) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Inspect(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* bytes) override;

 private:
  Parts parts_;
};

}  // namespace sparsed::server
