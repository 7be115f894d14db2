#include "clients/cpp/load_run.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "clients/cpp/errors.h"

namespace sparsed::clients {
namespace {

constexpr size_t kMostEnded = 1000;  // calls that are kept after their end

using SteadyClock = std::chrono::steady_clock;

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

SteadyClock::duration ToDuration(double seconds) {
  return std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
}

// One request under way. Outlives gRPC's OnDone.
class Call final : public grpc::ClientReadReactor<v1::StreamGenerateResponse> {
 public:
  using OnEnd = std::function<void(Call*, const LoadSample&)>;

  Call(const v1::GenerateRequest& request, size_t kind, SteadyClock::time_point meant, OnEnd on_end)
      : meant_(meant), on_end_(std::move(on_end)) {
    *request_.mutable_request() = request;
    sample_.kind = kind;
  }

  void Start(v1::GenerationService::Stub& stub, double deadline_seconds) {
    sample_.sent = Since();
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::milliseconds(static_cast<int64_t>(1000 * deadline_seconds)));
    stub.async()->StreamGenerate(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (event_.has_block() && sample_.first_block < 0) sample_.first_block = Since();
    if (event_.has_final()) {
      const auto& queue = event_.final().timings().queue();
      sample_.queue = static_cast<double>(queue.seconds()) + queue.nanos() * 1e-9;
      sample_.generated_tokens = event_.final().usage().generated_tokens();
    }
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    sample_.total = Since();
    sample_.code = StatusCodeName(status.error_code());
    on_end_(this, sample_);
  }

 private:
  double Since() const { return Seconds(SteadyClock::now() - meant_); }

  const SteadyClock::time_point meant_;
  const OnEnd on_end_;
  grpc::ClientContext context_;
  v1::StreamGenerateRequest request_;
  v1::StreamGenerateResponse event_;
  LoadSample sample_;
};

class Generator {
 public:
  Generator(Environment& environment, const LoadRun& run) : environment_(environment), run_(run) {}

  LoadResult Run() {
    Interrupt::Scope scope(environment_.interrupt, [this] { Stop(); });
    start_ = SteadyClock::now();
    for (const LoadArrival& arrival : run_.schedule) {
      const SteadyClock::time_point meant = start_ + ToDuration(arrival.at);
      if (!WaitFor(meant, [] { return false; })) break;
      const auto room = [this] { return calls_.size() < run_.max_in_flight; };
      if (!WaitFor(SteadyClock::time_point::max(), room)) break;
      Send(arrival, meant);
    }
    WaitFor(SteadyClock::time_point::max(), [this] { return calls_.empty(); });
    std::unique_lock lock(mu_);
    changed_.wait(lock, [this] { return calls_.empty(); });
    result_.interrupted = stopped_;
    return std::move(result_);
  }

 private:
  // Until then, or what comes first; ticks meanwhile. False once stopped.
  template <typename Condition>
  bool WaitFor(SteadyClock::time_point until, const Condition& condition) {
    std::unique_lock lock(mu_);
    while (!stopped_ && !condition() && SteadyClock::now() < until) {
      const SteadyClock::time_point next_tick = last_tick_ + std::chrono::milliseconds(100);
      changed_.wait_until(lock, std::min(until, next_tick));
      if (SteadyClock::now() < next_tick || !run_.on_tick) continue;
      last_tick_ = SteadyClock::now();
      run_.on_tick({Seconds(last_tick_ - start_), sent_, calls_.size(), failed_}, result_.samples);
    }
    return !stopped_;
  }

  void Send(const LoadArrival& arrival, SteadyClock::time_point meant) {
    auto call = std::make_unique<Call>(
        run_.requests[arrival.kind], arrival.kind, meant,
        [this](Call* ended, const LoadSample& sample) { OnEnd(ended, sample); });
    Call* const raw = call.get();
    {
      const std::lock_guard lock(mu_);
      if (stopped_) return;
      calls_[raw] = std::move(call);
      ++sent_;
    }
    raw->Start(environment_.connection.generation(), run_.deadline_seconds);
  }

  void OnEnd(Call* ended, const LoadSample& sample) {
    const std::lock_guard lock(mu_);
    ended_.push_back(std::move(calls_.extract(ended).mapped()));
    if (ended_.size() > kMostEnded) ended_.pop_front();
    result_.samples.push_back(sample);
    result_.seconds = Seconds(SteadyClock::now() - start_);
    failed_ += sample.code == "OK" ? 0 : 1;
    changed_.notify_all();
  }

  void Stop() {
    const std::lock_guard lock(mu_);
    stopped_ = true;
    for (const auto& [raw, call] : calls_) raw->Cancel();
    changed_.notify_all();
  }

  Environment& environment_;
  const LoadRun& run_;
  SteadyClock::time_point start_;
  SteadyClock::time_point last_tick_;
  std::mutex mu_;  // guards what follows, and on_tick
  std::condition_variable changed_;
  std::map<Call*, std::unique_ptr<Call>> calls_;
  // gRPC 1.51 may still use a call's context for a moment after OnDone.
  std::deque<std::unique_ptr<Call>> ended_;
  size_t sent_ = 0;
  size_t failed_ = 0;
  bool stopped_ = false;
  LoadResult result_;
};

}  // namespace

LoadResult RunLoad(Environment& environment, const LoadRun& run) {
  return Generator(environment, run).Run();
}

}  // namespace sparsed::clients
