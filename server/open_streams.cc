#include "server/open_streams.h"

#include <utility>
#include <vector>

namespace sparsed::server {

void OpenStreams::Add(const std::shared_ptr<OpenStream>& stream) {
  const std::lock_guard lock(mu_);
  streams_[stream.get()] = stream;
}

void OpenStreams::Remove(const OpenStream* stream) {
  const std::lock_guard lock(mu_);
  streams_.erase(stream);
}

int OpenStreams::CheckReaders(TimePoint now, Duration limit) {
  std::vector<std::shared_ptr<OpenStream>> open;
  {
    const std::lock_guard lock(mu_);
    for (const auto& [key, stream] : streams_) {
      if (auto alive = stream.lock()) open.push_back(std::move(alive));
    }
  }
  int slow = 0;
  for (const auto& stream : open) slow += stream->CheckReader(now, limit) ? 1 : 0;
  return slow;
}

}  // namespace sparsed::server
