#include "clients/cpp/eval_progress.h"

#include "clients/cpp/terminal.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

TEST_CASE("durations are written for people") {
  CHECK(RenderSeconds(4.24) == "4.2 s");
  CHECK(RenderSeconds(185) == "3 min 05 s");
  CHECK(RenderSeconds(3725) == "1 h 02 min");
}

TEST_CASE("the line shows counts, accuracy, time left and fits every width") {
  EvalProgress progress;
  progress.done = 50;
  progress.todo = 200;
  progress.correct = 40;
  progress.work_done = 10;
  progress.work_todo = 100;
  progress.generated_tokens = 1600;
  progress.seconds = 8;
  const std::string line = RenderEvalProgress(progress, 100, false);
  // A tenth of the work took 8 seconds, whatever the count says.
  CHECK(line.find("50/200 · 80.0% right · 1 min 12 s left · 200 tok/s · 8.0 s") !=
        std::string::npos);
  for (int columns = 12; columns < 120; ++columns) {
    CAPTURE(columns);
    CHECK(VisibleColumns(RenderEvalProgress(progress, columns, true)) <= columns);
  }
}

TEST_CASE("nothing done yet is no division by zero") {
  EvalProgress progress;
  progress.todo = 3;
  progress.work_todo = 5;
  CHECK(RenderEvalProgress(progress, 60, false).find("0/3 · 0 tok/s · 0.0 s") != std::string::npos);
}

}  // namespace
}  // namespace sparsed::clients
