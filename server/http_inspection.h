// What an inspected generation tells over HTTP: events whose data is JSON with the fields of
// sparsed.v1.InspectResponse. Pure.
#pragma once

#include <string>
#include <utility>

#include "server/http_openai_response.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

class InspectionAnswer {
 public:
  explicit InspectionAnswer(FieldNames names) : names_(std::move(names)) {}

  // `kept` and `importance` are base64, the latter of little-endian floats: n x n of them for each
  // head are many. Of the generation's result there is `sparse` alone.
  std::string Event(const v1::InspectResponse& event) const;
  // Instead of the final event.
  std::string ErrorEvent(const Failure& failure) const;

 private:
  FieldNames names_;
};

}  // namespace sparsed::server
