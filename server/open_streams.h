// The streams that are open, so that those whose clients have stopped reading can be ended.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "server/stream.h"

namespace sparsed::server {

// Thread-safe.
class OpenStreams {
 public:
  void Add(const std::shared_ptr<Stream>& stream);
  void Remove(const Stream* stream);

  // Looks at every stream: see Stream::CheckReader. Returns how many it has found too slow.
  int CheckReaders(TimePoint now, Duration limit);

 private:
  std::mutex mu_;
  std::map<const Stream*, std::weak_ptr<Stream>> streams_;  // guarded by mu_
};

}  // namespace sparsed::server
