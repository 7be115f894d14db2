// A progress bar on the terminal, for what takes longer than a second.
#pragma once

#include <chrono>
#include <string>

namespace sparsed::bench {

// Draws on standard error if that is a terminal, else nothing; wiped out by the destructor.
class Progress {
 public:
  Progress(std::string label, int total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void Advance() { Set(done_ + 1); }
  void Set(int done);
  void SetTotal(int total) { total_ = total; }

 private:
  std::string label_;
  int total_;
  int done_ = 0;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace sparsed::bench
