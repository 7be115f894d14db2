#include "server/http_inspection.h"

#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sparsed::server {
namespace {

using Json = nlohmann::ordered_json;

template <typename Numbers>
Json Array(const Numbers& numbers) {
  Json array = Json::array();
  for (const auto number : numbers) array.push_back(number);
  return array;
}

const char* WordOf(v1::StepKind kind) {
  switch (kind) {
    case v1::STEP_KIND_SELECT:
      return "select";
    case v1::STEP_KIND_SPARSE:
      return "sparse";
    default:
      return "full";
  }
}

std::string FloatBytes(const google::protobuf::RepeatedField<float>& numbers) {
  std::string bytes;
  bytes.reserve(4 * static_cast<size_t>(numbers.size()));
  for (const float number : numbers) {
    const auto bits = std::bit_cast<uint32_t>(number);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(bits >> shift));
  }
  return bytes;
}

Json StartedJson(const v1::InspectionStarted& started) {
  Json json = {
      {"layers", Array(started.layers())}, {"heads", Array(started.heads())},
      {"steps", Array(started.steps())},   {"block_size", started.block_size()},
      {"blocks", started.blocks()},        {"first_canvas_block", started.first_canvas_block()}};
  if (started.has_select_step()) json["select_step"] = started.select_step();
  return json;
}

Json HeadJson(const v1::HeadPattern& head) {
  Json json = {{"step", head.step()},
               {"kind", WordOf(head.kind())},
               {"layer", head.layer()},
               {"head", head.head()},
               {"kept", absl::Base64Escape(head.kept())}};
  if (head.importance_size() > 0) {
    json["importance"] = absl::Base64Escape(FloatBytes(head.importance()));
  }
  if (head.has_recall()) json["recall"] = head.recall();
  if (head.has_fresh_recall()) json["fresh_recall"] = head.fresh_recall();
  json["similarity"] = Array(head.similarity());
  return json;
}

Json SparseJson(const v1::SparseReport& sparse) {
  Json json = {{"used", sparse.used()}};
  if (sparse.used()) json["density"] = sparse.density();
  if (sparse.has_recall()) json["recall"] = sparse.recall();
  return json;
}

}  // namespace

std::string InspectionAnswer::Event(const v1::InspectResponse& event) const {
  Json json;
  if (event.has_started()) json["started"] = StartedJson(event.started());
  if (event.has_head()) json["head"] = HeadJson(event.head());
  if (event.has_final()) json["final"] = {{"sparse", SparseJson(event.final().sparse())}};
  return absl::StrCat("data: ", json.dump(), "\n\n", event.has_final() ? "data: [DONE]\n\n" : "");
}

std::string InspectionAnswer::ErrorEvent(const Failure& failure) const {
  return absl::StrCat("data: ", OpenAiError(failure, names_), "\n\n");
}

}  // namespace sparsed::server
