#include "clients/cpp/eval_run.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "clients/cpp/errors.h"
#include "clients/cpp/eval_check.h"

namespace sparsed::clients {
namespace {

constexpr std::chrono::milliseconds kTick(100);
constexpr int kMostUnavailable = 5;
constexpr std::chrono::milliseconds kUnavailableDelay(500);

// Hands out examples to workers and takes their results.
class Pool {
 public:
  Pool(Environment& environment, const EvalRun& run) : environment_(environment), run_(run) {}

  grpc::Status Run() {
    Interrupt::Scope scope(environment_.interrupt, [this] {
      Stop(grpc::Status(grpc::StatusCode::CANCELLED, "interrupted"));
    });
    const size_t count = std::min<size_t>(std::max(1u, run_.concurrency), run_.todo.size());
    working_ = count;
    std::vector<std::thread> workers;
    for (size_t i = 0; i < count; ++i) workers.emplace_back(&Pool::Work, this);
    {
      std::unique_lock lock(mu_);
      while (!changed_cv_.wait_for(lock, kTick, [this] { return working_ == 0; })) run_.on_tick();
    }
    for (std::thread& worker : workers) worker.join();
    return status_;
  }

 private:
  void Work() {
    for (;;) {
      size_t index = 0;
      {
        std::lock_guard lock(mu_);
        if (!status_.ok() || next_ == run_.todo.size()) break;
        index = run_.todo[next_++];
      }
      const EvalExample& example = (*run_.examples)[index];
      EvalDone done;
      const grpc::Status status = RunExample(example, &done);
      if (!status.ok()) {
        Stop(grpc::Status(status.error_code(), example.id + ": " + status.error_message(),
                          status.error_details()));
        break;
      }
      std::lock_guard lock(mu_);
      run_.on_done(std::move(done));
    }
    std::lock_guard lock(mu_);
    --working_;
    changed_cv_.notify_all();
  }

  grpc::Status RunExample(const EvalExample& example, EvalDone* done) {
    const v1::GenerateRequest request = ToEvalRequest(example, run_.settings);
    v1::GenerateResponse response;
    grpc::Status status = Call([&](grpc::ClientContext* context) {
      return environment_.connection.generation().Generate(context, request, &response);
    });
    if (!status.ok()) return status;
    EvalRecord& record = done->record;
    record.id = example.id;
    record.task = example.task;
    record.length = example.length;
    record.steps = request.sampling().steps();
    record.output_ids.assign(response.token_ids().begin(), response.token_ids().end());
    done->generated_tokens = response.usage().generated_tokens();

    v1::DetokenizeRequest detokenize;
    detokenize.set_model(run_.settings.model);
    const std::vector<uint32_t> cut = CutAtEnd(record.output_ids, run_.settings.end_ids);
    detokenize.mutable_token_ids()->Assign(cut.begin(), cut.end());
    if (!cut.empty()) {
      v1::DetokenizeResponse text;
      status = Call([&](grpc::ClientContext* context) {
        return environment_.connection.generation().Detokenize(context, detokenize, &text);
      });
      record.output_text = text.text();
    }
    record.correct = IsCorrect(example.checker, example.answer, record.output_text);
    return status;
  }

  // Makes a call, again and again while the server asks for patience.
  grpc::Status Call(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
    for (int unavailable = 0;;) {
      grpc::ClientContext context;
      if (!Register(&context)) return grpc::Status(grpc::StatusCode::CANCELLED, "stopped");
      const grpc::Status status = call(&context);
      Unregister(&context);
      auto delay = RetryDelay(status);
      const grpc::StatusCode code = status.error_code();
      if (code == grpc::StatusCode::UNAVAILABLE && ++unavailable < kMostUnavailable) {
        delay = delay.value_or(kUnavailableDelay);
      } else if (code != grpc::StatusCode::RESOURCE_EXHAUSTED || !delay) {
        return status;
      }
      std::unique_lock lock(mu_);
      changed_cv_.wait_for(lock, *delay, [this] { return !status_.ok(); });
    }
  }

  bool Register(grpc::ClientContext* context) {
    std::lock_guard lock(mu_);
    if (!status_.ok()) return false;
    calls_.insert(context);
    return true;
  }

  void Unregister(grpc::ClientContext* context) {
    std::lock_guard lock(mu_);
    calls_.erase(context);
  }

  // Keeps the first status, ends all calls under way and wakes those that wait.
  void Stop(grpc::Status status) {
    std::lock_guard lock(mu_);
    if (!status_.ok()) return;
    status_ = std::move(status);
    for (grpc::ClientContext* context : calls_) context->TryCancel();
    changed_cv_.notify_all();
  }

  Environment& environment_;
  const EvalRun& run_;
  std::mutex mu_;  // guards what follows, on_done and on_tick
  std::condition_variable changed_cv_;
  size_t next_ = 0;
  size_t working_ = 0;
  grpc::Status status_;
  std::set<grpc::ClientContext*> calls_;
};

}  // namespace

uint32_t StepsFor(uint32_t gen_length, double steps_per_token) {
  return static_cast<uint32_t>(std::lround(gen_length * steps_per_token));
}

v1::GenerateRequest ToEvalRequest(const EvalExample& example, const EvalSettings& settings) {
  v1::GenerateRequest request;
  request.set_model(settings.model);
  request.mutable_token_ids()->mutable_ids()->Assign(example.prompt_ids.begin(),
                                                     example.prompt_ids.end());
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  sampling.set_gen_length(example.gen_length);
  sampling.set_steps(StepsFor(example.gen_length, settings.steps_per_token));
  sampling.set_block_length(settings.block_length);
  sampling.set_temperature(0);
  sampling.set_stop_at_end(false);
  v1::SparseOptions& sparse = *request.mutable_sparse();
  if (settings.sparse == "sparsed") {
    sparse.set_mode(v1::SPARSE_MODE_SPARSED);
    sparse.set_select(static_cast<float>(settings.select));
  } else {
    sparse.set_mode(v1::SPARSE_MODE_OFF);
  }
  return request;
}

grpc::Status RunEval(Environment& environment, const EvalRun& run) {
  if (run.todo.empty()) return grpc::Status::OK;
  return Pool(environment, run).Run();
}

}  // namespace sparsed::clients
