#include "server/submit.h"

#include <algorithm>
#include <utility>

#include "server/inspection.h"
#include "server/step_work.h"
#include "server/validate.h"

namespace sparsed::server {

std::optional<Failure> Submitter::MakeTicket(const v1::GenerateRequest& request, TimePoint arrival,
                                             const Call& call, Ticket* ticket) const {
  const ServedModel* model = parts_.state->model();
  if (model == nullptr) return Loading();
  if (auto failure =
          ToEngineRequest(request, call.inspect, *model, parts_.random(), &ticket->valid)) {
    return failure;
  }
  ticket->need = model->engine->Estimate(ticket->valid.request);
  if (auto failure = CheckFits(ticket->need, model->limits)) return failure;
  // Very long where the client set no deadline.
  const auto left = call.deadline - std::chrono::system_clock::now();
  if (left <= left.zero()) return DeadlineInQueue();
  const Duration most_time = std::min<Duration>(left, parts_.max_request_time);
  ticket->model = model->name;
  ticket->arrival = arrival;
  ticket->deadline = arrival + most_time;
  const ValidRequest& valid = ticket->valid;
  const bool may_end_early = valid.request.sampling.stop_at_end || !valid.text_options.stop.empty();
  ticket->work = WorkOf(valid.request, *model->info, ticket->need.batch_tokens, may_end_early);
  ticket->least_seconds = parts_.costs->LeastSeconds(ticket->work);
  if (ticket->least_seconds > Seconds(most_time)) {
    return DeadlineTooShort(Seconds(most_time), ticket->least_seconds);
  }
  if (call.inspect == nullptr) return std::nullopt;
  return call.sink->ExpectInspection(DescribeInspection(valid.request, *model->info),
                                     ticket->need.inspection_bytes);
}

std::optional<v1::Accepted> Submitter::Submit(const v1::StreamGenerateRequest& request,
                                              std::optional<Failure> failure,
                                              const Call& call) const {
  const TimePoint arrival = parts_.clock();
  Ticket ticket;
  ticket.request_id = call.info.request_id;
  ticket.trace_id = call.info.trace_id;
  ticket.span_id = call.info.span_id;
  if (!failure) failure = MakeTicket(request.request(), arrival, call, &ticket);
  uint32_t position = 0;
  v1::Accepted accepted;
  if (!failure) {
    accepted.set_request_id(ticket.request_id);
    accepted.set_planned_steps(static_cast<uint32_t>(ticket.valid.request.sampling.steps));
    accepted.set_seed(ticket.valid.request.sampling.seed);
    ticket.wants_frames = request.frames();
    ticket.wants_progress = request.progress();
    ticket.sink = call.sink;
    failure = parts_.queue->TryPush(ticket, &position);
  }
  if (failure) {
    parts_.access->CountRejection(*failure);
    RunStats stats;
    stats.total_seconds = Seconds(parts_.clock() - arrival);
    call.sink->OnFailure(*failure, stats);
    return std::nullopt;
  }
  accepted.set_queue_position(position);
  return accepted;
}

}  // namespace sparsed::server
