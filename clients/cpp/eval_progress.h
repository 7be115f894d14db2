// The progress of an evaluation as one line.
#pragma once

#include <cstdint>
#include <string>

namespace sparsed::clients {

struct EvalProgress {
  size_t done = 0;       // of this run
  size_t todo = 0;       // of this run
  size_t correct = 0;    // of `done`
  double work_done = 0;  // any unit of effort that long prompts cost more of
  double work_todo = 0;
  uint64_t generated_tokens = 0;
  double seconds = 0;  // since the start
};

// A bar, done/todo, accuracy, tokens per second, time and the time left, narrower than `columns`.
std::string RenderEvalProgress(const EvalProgress& progress, int columns, bool color);

// "4.2 s", "3 min 05 s" or "1 h 02 min".
std::string RenderSeconds(double seconds);

}  // namespace sparsed::clients
