// The streams that are open, so that those whose clients have stopped reading can be ended.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "server/clock.h"

namespace sparsed::server {

// A call that the server writes to more than once.
class OpenStream {
 public:
  virtual ~OpenStream() = default;

  // To be called now and then. Where one write has lasted for `limit` or longer while text that
  // will not change or the end waits behind it, its requests become too_slow; where that does not
  // help within another `limit`, the call is aborted. Returns whether it has just become either.
  virtual bool CheckReader(TimePoint now, Duration limit) = 0;
};

// Thread-safe.
class OpenStreams {
 public:
  void Add(const std::shared_ptr<OpenStream>& stream);
  void Remove(const OpenStream* stream);

  // Looks at every stream: see OpenStream::CheckReader. Returns how many it has found too slow.
  int CheckReaders(TimePoint now, Duration limit);

 private:
  std::mutex mu_;
  std::map<const OpenStream*, std::weak_ptr<OpenStream>> streams_;  // guarded by mu_
};

}  // namespace sparsed::server
