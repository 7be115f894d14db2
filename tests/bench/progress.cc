#include "tests/bench/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace sparsed::bench {

Progress::Progress(std::string label, int total)
    : label_(std::move(label)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (drawn_) std::fprintf(stderr, "\r\x1b[K");
}

void Progress::Set(int done) {
  done_ = done;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (!terminal_ || seconds < 1.0) return;
  constexpr int kWidth = 30;
  const int total = std::max(total_, 1);
  const int filled = std::min(kWidth * done / total, kWidth);
  std::fprintf(stderr, "\r\x1b[K%s [%s%s] %d/%d  %.0f s", label_.c_str(),
               std::string(filled, '#').c_str(), std::string(kWidth - filled, '.').c_str(), done,
               total, seconds);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace sparsed::bench
