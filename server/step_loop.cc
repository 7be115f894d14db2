#include "server/step_loop.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace sparsed::server {
namespace {

void FailWaiting(const Ticket& ticket, const Failure& failure, TimePoint now) {
  RunStats stats;
  stats.queue_seconds = Seconds(now - ticket.arrival);
  stats.total_seconds = stats.queue_seconds;
  stats.prompt_tokens = ticket.valid.prompt_tokens();
  ticket.sink->OnFailure(failure, stats);
}

// A step with a select among its sequences takes longest, one of only sparse ones the least.
engine::StepKind DearestKind(const std::vector<engine::SequenceStep>& steps) {
  engine::StepKind dearest = engine::StepKind::kSparse;
  for (const engine::SequenceStep& step : steps) {
    if (step.kind == engine::StepKind::kSelect) return step.kind;
    if (step.kind == engine::StepKind::kFull) dearest = step.kind;
  }
  return dearest;
}

// "3" of "cuda:3"; empty for what is no GPU.
std::string GpuNumber(const std::string& device) {
  static constexpr char kCuda[] = "cuda:";
  return device.rfind(kCuda, 0) == 0 ? device.substr(sizeof(kCuda) - 1) : "";
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

StepLoop::StepLoop(Parts parts)
    : parts_(std::move(parts)), picker_(parts_.limits.max_batch_tokens, parts_.cost_share) {}

absl::Status StepLoop::Run() {
  while (true) {
    if (cancel_all_.load()) EndAll(DrainTimeout(), DrainTimeout());
    DropCancelledAndExpired();
    StartAdmitted();
    ReportLoad();
    ReportDevice();
    if (running_.empty()) {
      if (!parts_.queue->WaitForWork()) return absl::OkStatus();
      continue;
    }
    const std::vector<engine::SequenceId> chosen = PickStep();
    const StepWork work = WorkOfStep(chosen);
    const TimePoint before = parts_.clock();
    heartbeat_.StepBegins(before,
                          std::min(parts_.engine->batch_tokens(), parts_.limits.max_batch_tokens));
    absl::StatusOr<std::vector<engine::SequenceStep>> steps = parts_.engine->Step(chosen);
    if (!steps.ok()) {
      StopOnDeviceFault(steps.status());
      return steps.status();
    }
    const double seconds = Seconds(parts_.clock() - before);
    parts_.costs->Record(work, static_cast<int64_t>(chosen.size()), seconds);
    Deliver(*std::move(steps), seconds);
    heartbeat_.StepEnded(parts_.clock());
  }
}

void StepLoop::DropCancelledAndExpired() {
  const TimePoint now = parts_.clock();
  for (auto it = running_.begin(); it != running_.end();) {
    const ActiveRequest& request = it->second;
    if (now >= request.ticket().deadline) {
      const int32_t planned = request.ticket().valid.request.sampling.steps;
      it = Fail(it, DeadlineWhileRunning(request.steps_done(), planned));
    } else if (request.ticket().sink->cancelled()) {
      it = Fail(it, Cancelled());
    } else if (request.ticket().sink->too_slow()) {
      it = Fail(it, SlowConsumer());
    } else {
      ++it;
    }
  }
}

void StepLoop::StartAdmitted() {
  const TimePoint now = parts_.clock();
  const Holding holding = {parts_.engine->running(), parts_.engine->batch_tokens(),
                           parts_.engine->mask_cache_bytes()};
  Holding large;
  for (const auto& [id, request] : running_) {
    if (IsLarge(request.ticket().need, parts_.limits)) large += request.ticket().need;
  }
  const Admission admission = Admit(parts_.queue->Snapshot(), holding, large, parts_.limits, now);
  for (const Ticket& ticket : parts_.queue->Take(admission.expired)) {
    FailWaiting(ticket, DeadlineInQueue(), now);
  }
  for (const Ticket& ticket : parts_.queue->Take(admission.too_late)) {
    FailWaiting(ticket, DeadlineTooShort(Seconds(ticket.deadline - now), ticket.least_seconds),
                now);
  }
  for (const Ticket& ticket : parts_.queue->Take(admission.cancelled)) {
    FailWaiting(ticket, Cancelled(), now);
  }
  for (Ticket& ticket : parts_.queue->Take(admission.start)) Start(std::move(ticket), now);
}

void StepLoop::Start(Ticket ticket, TimePoint now) {
  const absl::StatusOr<engine::SequenceId> id = parts_.engine->Start(ticket.valid.request);
  if (id.ok()) {
    running_.try_emplace(*id, std::move(ticket), *id, parts_.tokenizer,
                         &parts_.engine->model_info(), now);
    return;
  }
  // Whatever holds the memory gives it back in time, unless nothing holds any.
  const bool no_memory = absl::IsResourceExhausted(id.status());
  if (no_memory && !running_.empty()) {
    parts_.queue->PutBack(std::move(ticket));
    return;
  }
  parts_.log->Error("start_failed", {{"request_id", ticket.request_id},
                                     {"trace_id", ticket.trace_id},
                                     {"span_id", ticket.span_id},
                                     {"cause", MessageOf(id.status())}});
  FailWaiting(ticket, no_memory ? OutOfMemory(ticket.need.mask_cache_bytes) : Internal(), now);
}

std::vector<engine::SequenceId> StepLoop::PickStep() {
  const StepCostFit fit = parts_.costs->Fit();
  std::vector<Runner> runners;
  for (const auto& [id, request] : running_) {
    const int64_t rows = request.ticket().need.batch_tokens;
    const StepWork work = NextStepWork(*parts_.engine->Find(id), rows);
    runners.push_back({id, rows, fit.Marginal(work)});
  }
  std::vector<engine::SequenceId> chosen = picker_.Pick(runners, fit.base);
  parts_.metrics->SatOut(static_cast<int64_t>(runners.size() - chosen.size()));
  return chosen;
}

StepWork StepLoop::WorkOfStep(const std::vector<engine::SequenceId>& chosen) const {
  StepWork sum;
  for (const engine::SequenceId id : chosen) {
    sum += NextStepWork(*parts_.engine->Find(id), running_.at(id).ticket().need.batch_tokens);
  }
  return sum;
}

void StepLoop::Deliver(std::vector<engine::SequenceStep> steps, double seconds) {
  const TimePoint now = parts_.clock();
  size_t committed = 0;
  for (const engine::SequenceStep& step : steps) committed += step.commits.size();
  parts_.metrics->StepDone(DearestKind(steps), seconds, static_cast<int64_t>(steps.size()),
                           static_cast<int64_t>(committed));
  for (engine::SequenceStep& step : steps) {
    const auto it = running_.find(step.id);
    ActiveRequest& request = it->second;
    if (!step.error.ok()) {
      parts_.log->Error("sequence_failed", {{"request_id", request.ticket().request_id},
                                            {"trace_id", request.ticket().trace_id},
                                            {"span_id", request.ticket().span_id},
                                            {"step", step.step},
                                            {"cause", MessageOf(step.error)}});
      Fail(it, Internal());
      continue;
    }
    const engine::Sequence& sequence = *parts_.engine->Find(step.id);
    if (step.kind == engine::StepKind::kSelect) parts_.metrics->PatternBuilt(sequence.density);
    if (step.recall) {
      parts_.metrics->RecallEstimated(*step.recall, sequence.IsBelowFloor(*step.recall));
    }
    request.OnStep(step, sequence, seconds, now);
    if (const auto first = request.TakeFirstBlockSeconds()) parts_.metrics->FirstBlock(*first);
    if (request.done()) Complete(it, now);
  }
}

void StepLoop::StopOnDeviceFault(const absl::Status& cause) {
  parts_.log->Error("engine_failed", {{"cause", MessageOf(cause)},
                                      {"running", running_.size()},
                                      {"waiting", parts_.queue->size()}});
  parts_.queue->Close(EngineStopped());
  EndAll(Internal(), EngineStopped());
  ReportLoad();
}

void StepLoop::EndAll(const Failure& for_running, const Failure& for_waiting) {
  for (auto it = running_.begin(); it != running_.end();) it = Fail(it, for_running);
  const TimePoint now = parts_.clock();
  for (const Ticket& ticket : parts_.queue->TakeAll()) FailWaiting(ticket, for_waiting, now);
}

StepLoop::Running::iterator StepLoop::Fail(Running::iterator it, const Failure& failure) {
  parts_.metrics->WastedSteps(it->second.steps_done());
  auto node = running_.extract(it++);
  parts_.engine->Remove(node.key());
  ReportLoad();
  node.mapped().Fail(failure, parts_.clock());
  return it;
}

void StepLoop::Complete(Running::iterator it, TimePoint now) {
  it->second.Complete(*parts_.engine->Find(it->first), now);
  auto node = running_.extract(it);
  parts_.engine->Remove(node.key());
  ReportLoad();
  node.mapped().SendResult();
}

void StepLoop::ReportLoad() {
  const auto caches = std::count_if(running_.begin(), running_.end(), [](const auto& entry) {
    return entry.second.ticket().need.mask_cache_bytes > 0;
  });
  running_count_.store(parts_.engine->running());
  parts_.metrics->SetRunning(parts_.engine->running(), parts_.engine->mask_cache_bytes(), caches);
}

void StepLoop::ReportDevice() {
  const TimePoint now = parts_.clock();
  if (device_reported_ && now - *device_reported_ < std::chrono::seconds(1)) return;
  device_reported_ = now;
  const auto device = parts_.engine->backend_info();
  const std::string gpu = GpuNumber(device.device);
  if (gpu.empty()) return;
  parts_.metrics->SetGpuMemory(gpu, device.memory_total_bytes - device.memory_free_bytes,
                               device.memory_total_bytes);
}

}  // namespace sparsed::server
