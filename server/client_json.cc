#include "server/client_json.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"

namespace sparsed::server {

std::string ParseClientJson(const std::string& text, int max_depth, nlohmann::json* value) {
  bool too_deep = false;
  const auto keep = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep = too_deep || depth > max_depth;
    return !too_deep;
  };
  *value = nlohmann::json::parse(text, keep, false);
  if (too_deep) return absl::StrCat("is nested more than ", max_depth, " deep");
  return value->is_discarded() ? "is not JSON" : "";
}

bool ReadJson(const nlohmann::json& value, google::protobuf::Message* message) {
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return google::protobuf::util::JsonStringToMessage(text, message).ok();
}

}  // namespace sparsed::server
