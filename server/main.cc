#include <cstdio>

#include "server/app.h"
#include "server/check_model.h"
#include "server/config.h"
#include "server/plan.h"

int main(int argc, char** argv) {
  const sparsed::server::CommandLine line = sparsed::server::ParseCommandLine(argc, argv);
  if (!line.check_model.empty()) {
    return sparsed::server::CheckModel(line.check_model, sparsed::server::Config());
  }
  if (line.plan) return sparsed::server::Plan(*line.plan);
  if (!line.serve) {
    std::fputs(line.output.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  return sparsed::server::Serve(
      *line.serve, [argc, argv] { return sparsed::server::ParseCommandLine(argc, argv); },
      sparsed::kernels::CreateBackend);
}
