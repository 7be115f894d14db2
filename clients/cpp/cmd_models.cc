// The commands `models` and `info`.
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/json_output.h"
#include "clients/cpp/table.h"
#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

constexpr std::chrono::seconds kModelsPatience(10);

int ModelsFailed(const grpc::Status& status) {
  std::fputs(RenderError(status).c_str(), stderr);
  return kExitFailed;
}

// All pages in one response.
grpc::Status ListAll(Connection& connection, v1::ListModelsResponse* all) {
  v1::ListModelsRequest request;
  for (;;) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kModelsPatience);
    v1::ListModelsResponse page;
    const grpc::Status status = connection.models().ListModels(&context, request, &page);
    if (!status.ok()) return status;
    all->mutable_models()->MergeFrom(page.models());
    if (page.next_page_token().empty()) return grpc::Status::OK;
    request.set_page_token(page.next_page_token());
  }
}

// 19531776 as "19.5M".
std::string Short(uint64_t number) {
  constexpr const char* kUnits[] = {"", "K", "M", "B"};
  double value = static_cast<double>(number);
  size_t unit = 0;
  for (; value >= 1000 && unit < 3; ++unit) value /= 1000;
  return unit == 0 ? absl::StrCat(number) : absl::StrFormat("%.1f%s", value, kUnits[unit]);
}

int PrintModels(bool json, Environment& environment) {
  v1::ListModelsResponse all;
  const grpc::Status status = ListAll(environment.connection, &all);
  if (!status.ok()) return ModelsFailed(status);
  if (json) {
    std::fputs(ToJson(all).c_str(), stdout);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "FAMILY", "PARAMETERS", "LAYERS", "HEADS",
                                                 "HEAD DIM", "VOCABULARY", "MAX TOKENS", "DTYPE",
                                                 "DEVICE", "READY"}};
  for (const v1::Model& model : all.models()) {
    const std::string heads = model.heads() == model.kv_heads()
                                  ? absl::StrCat(model.heads())
                                  : absl::StrCat(model.heads(), "/", model.kv_heads());
    rows.push_back({SafeForTerminal(model.name()), model.family(), Short(model.parameters()),
                    absl::StrCat(model.layers()), heads, absl::StrCat(model.head_dim()),
                    absl::StrCat(model.vocabulary()), absl::StrCat(model.max_tokens()),
                    model.dtype(), model.device(), model.ready() ? "yes" : "no"});
  }
  std::fputs(RenderTable(rows, {2, 3, 4, 5, 6, 7}).c_str(), stdout);
  return kExitOk;
}

std::string Uptime(int64_t seconds) {
  if (seconds < 60) return absl::StrFormat("%d s", seconds);
  if (seconds < 3600) return absl::StrFormat("%d min %d s", seconds / 60, seconds % 60);
  return absl::StrFormat("%d h %d min", seconds / 3600, seconds / 60 % 60);
}

// 5 "<|mask|>"
std::string TokenName(uint32_t id, const std::string& text) {
  return absl::StrCat(id, " \"", SafeForTerminal(text), "\"");
}

void AddModelRows(const v1::Model& model, std::vector<std::vector<std::string>>* rows) {
  std::vector<std::string> ends;
  for (const v1::Token& token : model.end_tokens()) {
    ends.push_back(TokenName(token.id(), token.text()));
  }
  const auto add = [rows](const char* name, const std::string& value) {
    rows->push_back({name, value});
  };
  add("model", SafeForTerminal(model.name()));
  add("family", model.family());
  add("parameters", absl::StrCat(model.parameters()));
  add("layers", absl::StrCat(model.layers()));
  add("hidden_size", absl::StrCat(model.hidden_size()));
  add("heads", absl::StrCat(model.heads(), ", of keys and values ", model.kv_heads(), ", of size ",
                            model.head_dim()));
  add("ffn_size", absl::StrCat(model.ffn_size()));
  add("vocabulary", absl::StrCat(model.vocabulary()));
  add("dtype", model.dtype());
  add("weights", model.weights());
  add("tokenizer", SafeForTerminal(model.tokenizer()));
  add("mask_token", TokenName(model.mask_token_id(), model.mask_token()));
  add("end_tokens", absl::StrJoin(ends, ", "));
  add("chat_template", model.chat_template() ? "yes" : "no");
  add("default_remasking", v1::Remasking_Name(model.default_remasking()));
  add("default_temperature", absl::StrCat(model.default_temperature()));
  add("default_top_p", absl::StrCat(model.default_top_p()));
  add("default_top_k", absl::StrCat(model.default_top_k()));
  add("default_algorithm_temperature", absl::StrCat(model.default_algorithm_temperature()));
  add("memory", absl::StrFormat("%.1f MiB", static_cast<double>(model.memory_bytes()) / (1 << 20)));
}

int PrintInfo(bool json, Environment& environment) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kModelsPatience);
  v1::GetServerInfoResponse info;
  const grpc::Status status = environment.connection.models().GetServerInfo(&context, {}, &info);
  if (!status.ok()) return ModelsFailed(status);
  if (json) {
    std::fputs(ToJson(info).c_str(), stdout);
    return kExitOk;
  }
  using Rows = std::vector<std::vector<std::string>>;
  Rows rows = {{"version", info.version()},
               {"commit", info.commit()},
               {"device", info.device()},
               {"uptime", Uptime(info.uptime().seconds())}};
  const std::map<std::string, uint64_t> limits(info.limits().begin(), info.limits().end());
  for (const auto& [name, value] : limits) rows.push_back({name, absl::StrCat(value)});
  grpc::ClientContext model_context;
  model_context.set_deadline(std::chrono::system_clock::now() + kModelsPatience);
  v1::GetModelResponse model;
  // Without one while it is being loaded.
  if (environment.connection.models().GetModel(&model_context, {}, &model).ok()) {
    AddModelRows(model.model(), &rows);
  }
  std::fputs(RenderTable(rows, {}).c_str(), stdout);
  return kExitOk;
}

Command AddListing(CLI::App& app, const std::string& name, const std::string& help,
                   int (*print)(bool, Environment&)) {
  CLI::App* command = app.add_subcommand(name, help);
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print the response as JSON");
  return {command, [json, print](Environment& environment) { return print(*json, environment); }};
}

}  // namespace

Command AddModels(CLI::App& app) {
  return AddListing(app, "models", "List the served models", PrintModels);
}

Command AddInfo(CLI::App& app) {
  return AddListing(app, "info",
                    "Describe the server and its model: version, device, limits, sizes", PrintInfo);
}

}  // namespace sparsed::clients
