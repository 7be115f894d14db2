// OpenAI's HTTP interface: models, chat completions, completions. What it does not have of it is in
// docs/openai.md. With --playground also the page that uses it, and with --enable-inspection the
// patterns that the page shows.
// Next: server/http_openai_request.h, server/http_call.h
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/access_log.h"
#include "server/clock.h"
#include "server/entry.h"
#include "server/http_openai_request.h"
#include "server/http_server.h"
#include "server/inspection_outbox.h"
#include "server/open_streams.h"
#include "server/server_state.h"
#include "server/submit.h"

namespace sparsed::server {

// Thread-safe; called by the threads of the HTTP server, each of which waits for its client.
class OpenAiService {
 public:
  // All borrowed for the service's life.
  struct Parts {
    const ServerState* state = nullptr;
    const Submitter* submitter = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
    Clock clock;
    size_t max_body_bytes = 0;
    Duration write_time{};  // of what is no stream's event
    bool playground = false;
    InspectionBudget* inspection_budget = nullptr;  // null: the page shows no patterns
  };
  explicit OpenAiService(Parts parts);

  // Listens until it is destroyed; the service must outlive it. Errors: UNAVAILABLE naming the
  // address.
  absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HostPort& address);

 private:
  using Request = httplib::Request;
  using Response = httplib::Response;

  void AddRoutes(HttpServer& server);
  // To who comes while all threads have a connection.
  std::string FullAnswer() const;
  // A call on its way in: who asks, for what, and what is wrong with it.
  struct Incoming {
    std::shared_ptr<HttpConnection> connection;
    CallInfo info;
    OpenAiCall asked;
    std::optional<Failure> failure;
  };
  // Of one path.
  struct Path {
    bool chat = false;
    bool inspects = false;
  };
  void Complete(Incoming in, Response& response) const;
  void Inspect(Incoming in, Response& response) const;
  Incoming Receive(const HttpServer& server, Path path, const Request& request, Response& response,
                   const httplib::ContentReader& reader) const;
  // Queues the generation, or answers why not. Whether it is queued.
  template <typename Call>
  bool Submit(Incoming& in, const std::shared_ptr<Call>& call, Response& response) const;
  std::optional<Failure> Read(const Request& request, const httplib::ContentReader& reader,
                              HttpConnection& connection, CallInfo& info, OpenAiCall* call) const;
  std::optional<Failure> ReadBody(const Request& request, const httplib::ContentReader& reader,
                                  HttpConnection& connection, std::string* body) const;
  // id: null for the list.
  void Models(const HttpServer& server, const std::string* id, const Request& request,
              Response& response) const;

  const Parts parts_;
  const int64_t started_;  // seconds since 1970
};

}  // namespace sparsed::server
