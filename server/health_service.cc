#include "server/health_service.h"

#include <optional>
#include <utility>

namespace sparsed::server {
namespace {

HealthService::Response::ServingStatus ToStatus(bool serving) {
  return serving ? HealthService::Response::SERVING : HealthService::Response::NOT_SERVING;
}

}  // namespace

// One Watch stream: the newest status is written when the write before it is done.
class HealthService::Watcher final : public grpc::ServerWriteReactor<Response>,
                                     public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(HealthService* service, bool known, Response::ServingStatus first)
      : service_(service), known_(known), newest_(first) {}

  bool known() const { return known_; }

  // Sends the first status, or the one that has come since.
  void Start() { Pump(); }

  void Update(Response::ServingStatus status) {
    {
      const std::lock_guard lock(mu_);
      if (status == newest_) return;
      newest_ = status;
      unsent_ = true;
    }
    Pump();
  }

  void End() {
    {
      const std::lock_guard lock(mu_);
      ending_ = true;
    }
    Pump();
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mu_);
      writing_ = false;
      if (!ok) unsent_ = false;
      if (!ok) ending_ = true;
    }
    Pump();
  }
  void OnCancel() override { End(); }
  void OnDone() override { service_->Forget(shared_from_this()); }

 private:
  void Pump() {
    bool finish = false;
    {
      const std::lock_guard lock(mu_);
      if (writing_ || finished_) return;
      if (unsent_) {
        unsent_ = false;
        writing_ = true;
        response_.set_status(newest_);
      } else if (ending_) {
        finish = finished_ = true;
      } else {
        return;
      }
    }
    if (finish) {
      Finish(grpc::Status::OK);
    } else {
      StartWrite(&response_);
    }
  }

  HealthService* const service_;
  const bool known_;
  Response response_;  // unchanged while it is written
  std::mutex mu_;
  // The members below are guarded by mu_.
  Response::ServingStatus newest_;
  bool unsent_ = true;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

void HealthService::SetServing(bool serving) {
  std::set<std::shared_ptr<Watcher>> watchers;
  {
    const std::lock_guard lock(mu_);
    serving_ = serving;
    watchers = watchers_;
  }
  for (const auto& watcher : watchers) {
    if (watcher->known()) watcher->Update(ToStatus(serving));
  }
}

void HealthService::EndWatches() {
  std::set<std::shared_ptr<Watcher>> watchers;
  {
    const std::lock_guard lock(mu_);
    ended_ = true;
    watchers = watchers_;
  }
  for (const auto& watcher : watchers) watcher->End();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const Request* request, Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (names_.count(request->service()) == 0) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "service: no such service"));
    return reactor;
  }
  {
    const std::lock_guard lock(mu_);
    response->set_status(ToStatus(serving_));
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthService::Response>* HealthService::Watch(
    grpc::CallbackServerContext*, const Request* request) {
  const bool known = names_.count(request->service()) != 0;
  std::shared_ptr<Watcher> watcher;
  bool ended = false;
  {
    // One with the status that it starts from, so that no change falls between.
    const std::lock_guard lock(mu_);
    watcher = std::make_shared<Watcher>(this, known,
                                        known ? ToStatus(serving_) : Response::SERVICE_UNKNOWN);
    watchers_.insert(watcher);
    ended = ended_;
  }
  watcher->Start();
  if (ended) watcher->End();
  return watcher.get();
}

void HealthService::Forget(const std::shared_ptr<Watcher>& watcher) {
  const std::lock_guard lock(mu_);
  watchers_.erase(watcher);
}

}  // namespace sparsed::server
