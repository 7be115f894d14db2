#include "server/http_openai.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "server/http_call.h"
#include "server/http_inspection.h"
#include "server/http_openai_response.h"
#include "server/playground.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr char kJsonType[] = "application/json";
constexpr char kSse[] = "text/event-stream";
constexpr char kPing[] = ": ping\n\n";
constexpr char kInspectionsPath[] = "/playground/inspect";
constexpr seconds kPingInterval(15);
// A request has a thread from its first byte to the last of its answer: enough for all that run and
// wait at the default limits, and for those that are sent slowly beside them.
constexpr int kHttpThreads = 512;
constexpr size_t kMaxPathBytes = 1024;

HttpLimits MakeLimits(size_t max_body_bytes, Duration write_time) {
  HttpLimits limits;
  limits.head_bytes = 16 << 10;
  limits.body_bytes = max_body_bytes + max_body_bytes / 8;  // sent in chunks it is longer
  limits.request_time = seconds(30);
  limits.idle_time = seconds(5);
  limits.write_time = write_time;
  limits.send_buffer_bytes = 16 << 10;
  return limits;
}

int64_t SecondsSinceEpoch() {
  return std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Entry::Headers HeadersOf(const httplib::Request& request) {
  return [&request](const char* name) {
    std::vector<std::string> values;
    for (size_t i = 0; i < request.get_header_value_count(name); ++i) {
      values.push_back(request.get_header_value(name, i));
    }
    return values;
  };
}

void Fail(const Failure& failure, const FieldNames& names, httplib::Response& response) {
  response.status = HttpStatus(&failure);
  if (response.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  if (failure.pushback_ms && *failure.pushback_ms < 0) {
    response.set_header("x-should-retry", "false");
  } else if (failure.pushback_ms) {
    response.set_header("Retry-After", absl::StrCat((*failure.pushback_ms + 999) / 1000));
    response.set_header("retry-after-ms", absl::StrCat(*failure.pushback_ms));
  }
  response.set_content(OpenAiError(failure, names), kJsonType);
}

// What the library, or nobody, has answered.
void FailUnserved(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty()) return;
  const bool missing = response.status == 404;
  response.set_content(
      OpenAiError(missing ? absl::StrCat("there is no ", request.method, " of this path")
                          : "the request cannot be read",
                  missing ? "not_found_error" : "invalid_request_error", "", ""),
      kJsonType);
}

Json ModelJson(const std::string& name, int64_t created) {
  return {{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "sparsed"}};
}

// A stream's answer and the call it is of, until the last byte.
template <typename Call, typename Answer>
struct SseStream {
  std::shared_ptr<Call> call;
  Answer answer;

  bool Write(httplib::DataSink& sink) {
    const auto write = [&](const std::string& bytes) {
      return bytes.empty() || sink.write(bytes.data(), bytes.size());
    };
    const auto failure =
        call->Serve([&](const typename Call::Event& event) { return write(answer.Event(event)); },
                    kPingInterval, [&] { return write(kPing); });
    if (failure) write(answer.ErrorEvent(*failure));
    sink.done();
    return true;
  }
};

template <typename Call, typename Answer>
void SendStream(const std::shared_ptr<Call>& call, Answer answer, httplib::Response& response) {
  using Stream = SseStream<Call, Answer>;
  const auto stream = std::make_shared<Stream>(Stream{call, std::move(answer)});
  response.set_header("Cache-Control", "no-cache");
  response.set_header("X-Accel-Buffering", "no");
  response.set_chunked_content_provider(
      kSse, [stream](size_t, httplib::DataSink& sink) { return stream->Write(sink); },
      [stream](bool) { stream->call->Abandon(); });
}

}  // namespace

OpenAiService::OpenAiService(Parts parts)
    : parts_(std::move(parts)), started_(SecondsSinceEpoch()) {}

absl::StatusOr<std::unique_ptr<HttpServer>> OpenAiService::Start(const HostPort& address) {
  auto server = std::make_unique<HttpServer>(kHttpThreads,
                                             MakeLimits(parts_.max_body_bytes, parts_.write_time));
  server->set_full_answer([this] { return FullAnswer(); });
  AddRoutes(*server);
  SPARSED_RETURN_IF_ERROR(server->Start(address, "--http-address"));
  return server;
}

std::string OpenAiService::FullAnswer() const {
  const Failure failure = ConnectionsFull(kHttpThreads);
  parts_.access->CountRejection(failure);
  httplib::Response response;
  Fail(failure, {}, response);
  response.set_header("Connection", "close");
  response.set_header("Content-Length", absl::StrCat(response.body.size()));
  std::string answer = absl::StrCat("HTTP/1.1 ", response.status, " Service Unavailable\r\n");
  for (const auto& [name, value] : response.headers) {
    absl::StrAppend(&answer, name, ": ", value, "\r\n");
  }
  return absl::StrCat(answer, "\r\n", response.body);
}

void OpenAiService::AddRoutes(HttpServer& server) {
  server.set_error_handler(FailUnserved);
  // Before a body is read, which the library bounds only where a handler reads it.
  server.set_pre_routing_handler([](const Request& request, Response& response) {
    const bool known = request.method == "GET" || request.method == "POST";
    if (known && request.path.size() <= kMaxPathBytes) {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    response.status = known ? 404 : 405;
    FailUnserved(request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  const bool inspections = parts_.playground && parts_.inspection_budget != nullptr;
  if (parts_.playground) AddPlayground(server, inspections);
  for (const bool chat : {true, false}) {
    const std::string path = chat ? "/chat/completions" : "/completions";
    server.Post("/v1" + path, [this, chat, &server](const Request& request, Response& response,
                                                    const httplib::ContentReader& reader) {
      Complete(Receive(server, {chat, false}, request, response, reader), response);
    });
    if (!inspections) continue;
    server.Post(kInspectionsPath + path,
                [this, chat, &server](const Request& request, Response& response,
                                      const httplib::ContentReader& reader) {
                  Inspect(Receive(server, {chat, true}, request, response, reader), response);
                });
  }
  server.Post(".*", [](const Request& request, Response& response, const httplib::ContentReader&) {
    response.status = 404;
    FailUnserved(request, response);
  });
  server.Get("/v1/models", [this, &server](const Request& request, Response& response) {
    Models(server, nullptr, request, response);
  });
  server.Get("/v1/models/(.+)", [this, &server](const Request& request, Response& response) {
    const std::string id = request.matches[1];
    Models(server, &id, request, response);
  });
}

std::optional<Failure> OpenAiService::ReadBody(const Request& request,
                                               const httplib::ContentReader& reader,
                                               HttpConnection& connection,
                                               std::string* body) const {
  const size_t limit = parts_.max_body_bytes;
  const Failure too_large = BodyTooLarge(static_cast<int64_t>(limit));
  uint64_t announced = 0;
  const std::string length = request.get_header_value("Content-Length");
  if (!length.empty() && (!absl::SimpleAtoi(length, &announced) || announced > limit)) {
    return too_large;
  }
  bool over = false;
  // Forms are read in another way, and are no JSON.
  const bool read = !request.is_multipart_form_data() && reader([&](const char* data, size_t size) {
    over = over || body->size() + size > limit;
    if (!over) body->append(data, size);
    return !over;
  });
  connection.SetUnread(!read);
  if (read) return std::nullopt;
  if (over) return too_large;
  if (connection.too_slow()) return BodyTooSlow();
  return BadFields(OneViolation("body", "cannot be read"));
}

std::optional<Failure> OpenAiService::Read(const Request& request,
                                           const httplib::ContentReader& reader,
                                           HttpConnection& connection, CallInfo& info,
                                           OpenAiCall* call) const {
  // Who may not come in may not send either.
  if (auto refused = parts_.entry->Authenticate(HeadersOf(request), info)) return refused;
  std::string body;
  if (auto unread = ReadBody(request, reader, connection, &body)) return unread;
  if (auto wrong = ParseOpenAi(body, call)) return wrong;
  call->request.set_request_id(info.request_id);
  return parts_.entry->Authorize(info.caller, call->request.model());
}

OpenAiService::Incoming OpenAiService::Receive(const HttpServer& server, Path path,
                                               const Request& request, Response& response,
                                               const httplib::ContentReader& reader) const {
  Incoming in;
  in.connection = server.ConnectionOf(request);
  const char* method = path.inspects ? "Inspect" : path.chat ? "ChatCompletions" : "Completions";
  in.info = parts_.entry->Describe(HeadersOf(request), in.connection->peer(), "openai", method);
  in.info.generation = true;
  response.set_header("x-request-id", in.info.request_id);
  in.asked.chat = path.chat;
  if (path.inspects) in.asked.inspect.emplace();
  in.failure = Read(request, reader, *in.connection, in.info, &in.asked);
  return in;
}

template <typename Call>
bool OpenAiService::Submit(Incoming& in, const std::shared_ptr<Call>& call,
                           Response& response) const {
  constexpr auto kNoDeadline = std::chrono::system_clock::time_point::max();
  const v1::InspectRequest* inspect = in.asked.inspect ? &*in.asked.inspect : nullptr;
  v1::StreamGenerateRequest wanted;
  *wanted.mutable_request() = in.asked.request;
  wanted.set_frames(in.asked.frames);
  const auto accepted = parts_.submitter->Submit(wanted, std::move(in.failure),
                                                 {in.info, kNoDeadline, call, inspect});
  if (accepted) {
    call->Accept(*accepted);
    return true;
  }
  const auto refused =
      call->Serve([](const auto&) { return true; }, kPingInterval, [] { return true; });
  Fail(refused.value_or(Internal()), in.asked.names, response);
  return false;
}

void OpenAiService::Complete(Incoming in, Response& response) const {
  const auto call = HttpCall::Create(parts_.access, parts_.open_streams, in.connection, in.info);
  if (!Submit(in, call, response)) return;
  OpenAiAnswer answer(in.asked, {in.info.request_id, parts_.state->model(), SecondsSinceEpoch()});
  in.asked.request = v1::GenerateRequest();  // long, maybe, and so may be the wait
  if (in.asked.stream) return SendStream(call, std::move(answer), response);
  std::string body;
  const auto keep = [&](const v1::StreamGenerateResponse& event) {
    if (event.has_final()) body = answer.Body(event.final());
    return true;
  };
  const auto ended = call->Serve(keep, kPingInterval, [] { return true; });
  if (ended) return Fail(*ended, in.asked.names, response);
  response.set_content(body, kJsonType);
}

void OpenAiService::Inspect(Incoming in, Response& response) const {
  const auto call =
      HttpInspectCall::Create(parts_.access, parts_.open_streams, in.connection, in.info,
                              InspectionOutbox(parts_.inspection_budget, /*copies=*/3));
  if (Submit(in, call, response)) SendStream(call, InspectionAnswer(in.asked.names), response);
}

void OpenAiService::Models(const HttpServer& server, const std::string* id, const Request& request,
                           Response& response) const {
  const TimePoint arrival = parts_.clock();
  CallInfo info = parts_.entry->Describe(HeadersOf(request), server.ConnectionOf(request)->peer(),
                                         "openai", id == nullptr ? "ListModels" : "GetModel");
  response.set_header("x-request-id", info.request_id);
  std::optional<Failure> failure = parts_.entry->Authenticate(HeadersOf(request), info);
  if (!failure && id != nullptr) failure = parts_.entry->Authorize(info.caller, *id);
  if (failure) parts_.access->CountRejection(*failure);
  const ServedModel* model = parts_.state->model();
  if (!failure && id != nullptr) {
    failure = model == nullptr ? Loading() : CheckModelName(*id, *model);
  }
  RunStats stats;
  stats.total_seconds = Seconds(parts_.clock() - arrival);
  parts_.access->Write(info, failure ? &*failure : nullptr, stats);
  if (failure) return Fail(*failure, {}, response);
  if (id != nullptr) return response.set_content(ModelJson(*id, started_).dump(), kJsonType);
  Json list = {{"object", "list"}, {"data", Json::array()}};
  if (model != nullptr && info.caller.MayUse(model->name)) {
    list["data"].push_back(ModelJson(model->name, started_));
  }
  response.set_content(list.dump(), kJsonType);
}

}  // namespace sparsed::server
