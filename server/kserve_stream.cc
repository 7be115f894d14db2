#include "server/kserve_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/calls.h"
#include "server/kserve_tensors.h"
#include "server/validate.h"
#include "server/wire.h"

namespace sparsed::server {
namespace {

constexpr int kMaxInFlight = 32;

}  // namespace

// The end of one generation's events.
class InferStream::Request final : public EventSink {
 public:
  struct Name {
    uint64_t number = 0;  // on the stream
    std::string model;
    std::string id;
  };
  Request(std::shared_ptr<InferStream> stream, CallInfo info, Name its_name, bool streams,
          bool empty_final)
      : name(std::move(its_name)),
        stream_(std::move(stream)),
        info_(std::move(info)),
        streams_(streams),
        empty_final_(empty_final) {}

  bool cancelled() const override { return stream_->cancelled_.load(); }
  bool too_slow() const override { return stream_->too_slow_.load(); }
  void OnProgress(const v1::Progress&) override {}
  void OnFrame(const v1::Frame&) override {}
  void OnBlock(const v1::Block& block) override {
    if (streams_) stream_->AddText(*this, block.text());
  }

  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override {
    stream_->parts_.access->Write(info_, nullptr, stats);
    std::optional<std::string> text = result.text();
    if (empty_final_) {
      if (!streams_) Send(text, false);
      text.reset();
    } else if (streams_) {
      text = stream_->TakeText(*this);
    }
    Send(text, true);
    stream_->EndRequest();
  }

  void OnFailure(const Failure& failure, const RunStats& stats) override {
    stream_->parts_.access->Write(info_, &failure, stats);
    inference::ModelStreamInferResponse response;
    response.set_error_message(
        absl::StrCat(CodeName(failure.code()), ": ", failure.status.message()));
    *response.mutable_infer_response() = InferResponse(name.model, name.id, std::nullopt, true);
    stream_->Add(*this, std::move(response));
    stream_->EndRequest();
  }

  const Name name;

 private:
  void Send(const std::optional<std::string>& text, bool final) {
    inference::ModelStreamInferResponse response;
    *response.mutable_infer_response() = InferResponse(name.model, name.id, text, final);
    stream_->Add(*this, std::move(response));
  }

  const std::shared_ptr<InferStream> stream_;
  const CallInfo info_;
  const bool streams_;      // text is sent as it is committed
  const bool empty_final_;  // the last response has no text
};

InferStream::InferStream(grpc::CallbackServerContext* context, Parts parts, CallInfo info)
    : context_(context),
      call_(context->c_call()),
      parts_(parts),
      info_(std::move(info)),
      deadline_(context->deadline()) {
  grpc_call_ref(call_);
}

InferStream::~InferStream() { grpc_call_unref(call_); }

InferStream* InferStream::Start(grpc::CallbackServerContext* context, Parts parts, CallInfo info,
                                const std::optional<Failure>& refused) {
  std::shared_ptr<InferStream> stream(new InferStream(context, parts, std::move(info)));
  stream->self_ = stream;
  parts.open_streams->Add(stream);
  if (refused) {
    parts.access->Write(stream->info_, &*refused, {});
    stream->finished_ = true;
    stream->Finish(EndStatus(context, &*refused, stream->info_.request_id));
  } else {
    SendRequestId(context, stream->info_.request_id);
    stream->ReadNext();
  }
  return stream.get();
}

void InferStream::OnDone() {
  parts_.open_streams->Remove(this);
  self_.reset();
}

void InferStream::OnReadDone(bool ok) {
  if (!ok) {
    {
      const std::lock_guard lock(mu_);
      reads_end_ = true;
    }
    Pump();
    return;
  }
  Begin(read_);
  ReadNext();
}

void InferStream::ReadNext() {
  {
    const std::lock_guard lock(mu_);
    if (finished_ || broken_ || reads_end_) return;
    paused_ = in_flight_ >= kMaxInFlight;
    if (paused_) return;
    ++starting_reads_;
  }
  // Finish must not come, and with it OnDone, before StartRead has returned.
  StartRead(&read_);
  {
    const std::lock_guard lock(mu_);
    --starting_reads_;
  }
  Pump();
}

void InferStream::Begin(const grpc::ByteBuffer& bytes) {
  inference::ModelInferRequest message;
  InferCall infer;
  std::optional<Failure> failure = ParseMessage(bytes, &message);
  if (!failure) failure = parts_.entry->Authorize(info_.caller, message.model_name());
  if (!failure) failure = ParseInfer(message, &infer);
  CallInfo info = parts_.entry->Describe(*context_, "kserve", "ModelStreamInfer");
  info.generation = true;
  info.caller = info_.caller;
  if (!message.id().empty() && IsValidRequestId(message.id())) info.request_id = message.id();
  uint64_t number = 0;
  {
    const std::lock_guard lock(mu_);
    number = next_number_++;
    ++in_flight_;
  }
  const Request::Name name = {number, message.model_name(), message.id()};
  const auto request =
      std::make_shared<Request>(shared_from_this(), info, name, infer.stream, infer.empty_final);
  v1::StreamGenerateRequest wanted;
  *wanted.mutable_request() = std::move(infer.request);
  parts_.submitter->Submit(wanted, std::move(failure), {info, deadline_, request});
}

void InferStream::AddText(const Request& request, const std::string& text) {
  {
    const std::lock_guard lock(mu_);
    const auto waiting =
        std::find_if(pending_.begin(), pending_.end(), [&request](const Pending& entry) {
          return entry.number == request.name.number && entry.text_only;
        });
    if (waiting == pending_.end()) {
      Pending entry;
      entry.number = request.name.number;
      entry.text_only = true;
      entry.text = text;
      *entry.response.mutable_infer_response() =
          InferResponse(request.name.model, request.name.id, std::nullopt, false);
      pending_.push_back(std::move(entry));
    } else {
      waiting->text += text;
    }
  }
  Pump();
}

std::string InferStream::TakeText(const Request& request) {
  const std::lock_guard lock(mu_);
  for (auto it = pending_.begin(); it != pending_.end(); ++it) {
    if (it->number != request.name.number || !it->text_only) continue;
    std::string text = std::move(it->text);
    pending_.erase(it);
    return text;
  }
  return "";
}

void InferStream::Add(const Request& request, inference::ModelStreamInferResponse response) {
  {
    const std::lock_guard lock(mu_);
    Pending entry;
    entry.number = request.name.number;
    entry.response = std::move(response);
    pending_.push_back(std::move(entry));
  }
  Pump();
}

void InferStream::EndRequest() {
  bool read = false;
  {
    const std::lock_guard lock(mu_);
    --in_flight_;
    read = std::exchange(paused_, false);
  }
  if (read) ReadNext();
  Pump();
}

void InferStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mu_);
    writing_ = false;
    broken_ = broken_ || !ok;
  }
  if (!ok) cancelled_.store(true);
  Pump();
}

bool InferStream::CheckReader(TimePoint now, Duration limit) {
  bool abort = false;
  {
    const std::lock_guard lock(mu_);
    if (!writing_ || pending_.empty()) {
      stalled_write_ = 0;
      return false;
    }
    if (stalled_write_ != writes_) {
      stalled_write_ = writes_;
      stalled_since_ = now;
      return false;
    }
    if (now - stalled_since_ < limit) return false;
    stalled_since_ = now;
    abort = in_flight_ == 0 || too_slow_;
    too_slow_ = true;
  }
  if (abort) grpc_call_cancel(call_, nullptr);
  return true;
}

void InferStream::Pump() {
  std::optional<Pending> next;
  {
    const std::lock_guard lock(mu_);
    if (writing_ || finished_) return;
    if (broken_) pending_.clear();
    if (!pending_.empty()) {
      next = std::move(pending_.front());
      pending_.pop_front();
      writing_ = true;
      ++writes_;
    } else if ((reads_end_ || broken_) && in_flight_ == 0 && starting_reads_ == 0) {
      finished_ = true;
    } else {
      return;
    }
  }
  if (!next) {
    Finish(grpc::Status::OK);
    return;
  }
  if (next->text_only) {
    const inference::ModelInferResponse& head = next->response.infer_response();
    *next->response.mutable_infer_response() =
        InferResponse(head.model_name(), head.id(), next->text, false);
  }
  write_ = SerializeMessage(next->response);
  StartWrite(&write_);
}

}  // namespace sparsed::server
