#include "clients/cpp/eval_run.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

grpc::Status Refusal(grpc::StatusCode code, bool with_delay) {
  google::rpc::Status status;
  status.set_code(code);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(5000000);
  if (with_delay) status.add_details()->PackFrom(retry);
  return grpc::Status(code, "refused", status.SerializeAsString());
}

// Answers prompt [n, ...] with canvas [n, 4, 1, 1 ...]; the text of n is "n=N".
class FakeServer final : public v1::GenerationService::Service {
 public:
  // The first `refusals` calls of Generate end with `refusal`.
  FakeServer(int refusals, grpc::Status refusal)
      : refusals_left_(refusals), refusal_(std::move(refusal)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  std::vector<v1::GenerateRequest> answered() const {
    std::lock_guard lock(mu_);
    return answered_;
  }

 private:
  grpc::Status Generate(grpc::ServerContext* /*context*/, const v1::GenerateRequest* request,
                        v1::GenerateResponse* response) override {
    if (refusals_left_-- > 0) return refusal_;
    const uint32_t length = request->sampling().gen_length();
    response->add_token_ids(request->token_ids().ids(0));
    response->add_token_ids(4);
    while (static_cast<uint32_t>(response->token_ids_size()) < length) response->add_token_ids(1);
    response->set_text("the text is not cut");
    response->mutable_usage()->set_generated_tokens(length);
    std::lock_guard lock(mu_);
    answered_.push_back(*request);
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext* /*context*/, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    for (const uint32_t id : request->token_ids()) {
      response->set_text(response->text() + absl::StrCat("n=", id));
    }
    return request->keep_special() ? grpc::Status(grpc::StatusCode::INTERNAL, "keep_special")
                                   : grpc::Status::OK;
  }

  std::atomic<int> refusals_left_;
  const grpc::Status refusal_;
  mutable std::mutex mu_;
  std::vector<v1::GenerateRequest> answered_;  // guarded by mu_
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::vector<EvalExample> Examples(size_t count) {
  std::vector<EvalExample> examples(count);
  for (size_t i = 0; i < count; ++i) {
    examples[i].id = absl::StrCat("e", i);
    examples[i].task = "task";
    examples[i].length = 128;
    examples[i].gen_length = 64;
    examples[i].prompt_ids = {static_cast<uint32_t>(100 + i), 7};
    // Every third expects something else.
    examples[i].answer = i % 3 == 0 ? "other" : absl::StrCat("n=", 100 + i);
  }
  return examples;
}

EvalSettings RunSettings() {
  EvalSettings settings;
  settings.model = "m";
  settings.sparse = "sparsed";
  settings.select = 0.3;
  settings.steps_per_token = 0.5;
  settings.block_length = 32;
  settings.end_ids = {4, 1};
  return settings;
}

struct Outcome {
  grpc::Status status;
  std::vector<EvalDone> done;
};

Outcome RunAll(const std::string& address, size_t count) {
  Interrupt interrupt;
  Connection connection;
  ConnectionOptions options;
  options.address = address;
  REQUIRE(connection.Open(options).ok());
  Environment environment{connection, interrupt};
  const std::vector<EvalExample> examples = Examples(count);
  Outcome outcome;
  EvalRun run;
  run.examples = &examples;
  for (size_t i = 0; i < count; ++i) run.todo.push_back(i);
  run.settings = RunSettings();
  run.concurrency = 4;
  run.on_done = [&outcome](EvalDone done) { outcome.done.push_back(std::move(done)); };
  run.on_tick = [] {};
  outcome.status = RunEval(environment, run);
  return outcome;
}

TEST_CASE("every example is run once and judged by its cut text") {
  const FakeServer server(0, grpc::Status::OK);
  Outcome outcome = RunAll(server.address(), 20);
  REQUIRE(outcome.status.ok());
  REQUIRE(outcome.done.size() == 20);
  std::sort(outcome.done.begin(), outcome.done.end(), [](const EvalDone& a, const EvalDone& b) {
    return a.record.output_ids[0] < b.record.output_ids[0];
  });
  for (size_t i = 0; i < 20; ++i) {
    const EvalRecord& record = outcome.done[i].record;
    CAPTURE(i);
    CHECK(record.id == absl::StrCat("e", i));
    CHECK(record.output_text == absl::StrCat("n=", 100 + i));
    CHECK(record.output_ids.size() == 64);
    CHECK(record.steps == 32);
    CHECK(record.correct == (i % 3 != 0));
  }
}

TEST_CASE("requests are greedy, of token ids and without early stop") {
  const FakeServer server(0, grpc::Status::OK);
  REQUIRE(RunAll(server.address(), 1).status.ok());
  REQUIRE(server.answered().size() == 1);
  const v1::GenerateRequest request = server.answered()[0];
  CHECK(request.model() == "m");
  CHECK(request.token_ids().ids_size() == 2);
  CHECK(request.sampling().gen_length() == 64);
  CHECK(request.sampling().steps() == 32);
  CHECK(request.sampling().block_length() == 32);
  CHECK(request.sampling().has_stop_at_end());
  CHECK_FALSE(request.sampling().stop_at_end());
  CHECK(request.sampling().temperature() == 0);
  CHECK(request.sparse().mode() == v1::SPARSE_MODE_SPARSED);
  CHECK(request.sparse().select() == 0.3f);
  EvalSettings off = RunSettings();
  off.sparse = "off";
  CHECK(ToEvalRequest(Examples(1)[0], off).sparse().mode() == v1::SPARSE_MODE_OFF);
}

TEST_CASE("a full queue is waited for") {
  const FakeServer server(60, Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, true));
  const Outcome outcome = RunAll(server.address(), 8);
  CHECK(outcome.status.ok());
  CHECK(outcome.done.size() == 8);
}

TEST_CASE("a refusal that asks for no patience ends the run and names the example") {
  const FakeServer server(1000, Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, false));
  const Outcome outcome = RunAll(server.address(), 8);
  CHECK(outcome.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(outcome.status.error_message().find(": refused") != std::string::npos);
  CHECK(outcome.status.error_message()[0] == 'e');
  CHECK(outcome.done.empty());

  const FakeServer other(1000, Refusal(grpc::StatusCode::INVALID_ARGUMENT, false));
  CHECK(RunAll(other.address(), 8).status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("steps follow from the canvas") {
  CHECK(StepsFor(64, 0.5) == 32);
  CHECK(StepsFor(32, 1) == 32);
}

}  // namespace
}  // namespace sparsed::clients
