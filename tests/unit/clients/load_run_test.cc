#include "clients/cpp/load_run.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

using std::chrono::milliseconds;

// Takes `hold` over each request, on as many threads as it likes, and refuses every fifth if told.
class SlowServer final : public v1::GenerationService::Service {
 public:
  explicit SlowServer(milliseconds hold, bool refuses = false) : hold_(hold), refuses_(refuses) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~SlowServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  std::atomic<int> calls = 0;
  std::atomic<int> most_at_once = 0;

 private:
  grpc::Status StreamGenerate(grpc::ServerContext* context,
                              const v1::StreamGenerateRequest* /*request*/,
                              grpc::ServerWriter<v1::StreamGenerateResponse>* writer) override {
    const int number = calls++;
    if (refuses_ && number % 5 == 0) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    }
    const int now = ++at_once_;
    if (now > most_at_once) most_at_once = now;
    const auto end = std::chrono::steady_clock::now() + hold_;
    while (std::chrono::steady_clock::now() < end && !context->IsCancelled()) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    --at_once_;
    v1::StreamGenerateResponse event;
    event.mutable_block()->set_text("x");
    writer->Write(event);
    event.mutable_final()->mutable_usage()->set_generated_tokens(7);
    event.mutable_final()->mutable_timings()->mutable_queue()->set_nanos(500000000);
    writer->Write(event);
    return grpc::Status::OK;
  }

  const milliseconds hold_;
  const bool refuses_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<int> at_once_ = 0;
};

LoadRun MakeRun(double rate, double seconds) {
  LoadRun run;
  run.schedule = MakeSchedule(rate, seconds, Arrivals::kFixed, {LoadKind()}, 1);
  run.requests = {v1::GenerateRequest()};
  return run;
}

LoadResult RunAgainst(const SlowServer& server, const LoadRun& run) {
  Interrupt interrupt;
  Connection connection;
  ConnectionOptions options;
  options.address = server.address();
  REQUIRE(connection.Open(options).ok());
  connection.ReopenWithoutRetries();
  Environment environment{connection, interrupt};
  return RunLoad(environment, run);
}

}  // namespace

TEST_CASE("load run: everything is sent once, in time, and told with its numbers") {
  SlowServer server(milliseconds(20));
  LoadRun run = MakeRun(40, 1);
  size_t ticks = 0;
  run.on_tick = [&ticks](const LoadProgress&, const std::vector<LoadSample>&) { ++ticks; };
  const LoadResult result = RunAgainst(server, run);
  CHECK(result.samples.size() == 40);
  CHECK(server.calls == 40);
  CHECK_FALSE(result.interrupted);
  CHECK(result.seconds > 0.9);
  CHECK(ticks >= 4);
  for (const LoadSample& sample : result.samples) {
    CHECK(sample.code == "OK");
    CHECK(sample.total >= 0.02);
    CHECK(sample.first_block >= 0.02);
    CHECK(sample.first_block <= sample.total);
    CHECK(sample.generated_tokens == 7);
    CHECK(sample.queue == 0.5);
  }
}

TEST_CASE("load run: what waits for its turn to be sent counts as latency") {
  // Two at a time, 100 ms each: 20 a second, where 100 are meant.
  SlowServer server(milliseconds(100));
  LoadRun run = MakeRun(100, 0.3);
  run.max_in_flight = 2;
  const LoadResult result = RunAgainst(server, run);
  REQUIRE(result.samples.size() == 30);
  CHECK(server.most_at_once <= 2);
  double latest = 0;
  for (const LoadSample& sample : result.samples) latest = std::max(latest, sample.total);
  // The last of 30 was meant at 0.29 s and ends after 15 turns.
  CHECK(latest > 1.5 - 0.3);
}

TEST_CASE("load run: a refusal is counted, not tried again") {
  SlowServer server(milliseconds(1), true);
  const LoadResult result = RunAgainst(server, MakeRun(100, 0.5));
  CHECK(result.samples.size() == 50);
  CHECK(server.calls == 50);
  CHECK(std::count_if(result.samples.begin(), result.samples.end(), [](const LoadSample& sample) {
          return sample.code == "RESOURCE_EXHAUSTED";
        }) == 10);
}

TEST_CASE("load run: what takes too long ends at its deadline") {
  SlowServer server(milliseconds(5000));
  LoadRun run = MakeRun(10, 0.3);
  run.deadline_seconds = 0.3;
  const LoadResult result = RunAgainst(server, run);
  REQUIRE(result.samples.size() == 3);
  for (const LoadSample& sample : result.samples) CHECK(sample.code == "DEADLINE_EXCEEDED");
  CHECK(result.seconds < 4);
}

}  // namespace sparsed::clients
