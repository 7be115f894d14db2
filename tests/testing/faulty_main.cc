// sparsed with faults on purpose: `sparsed-faulty [--fault FAULT]... serve ...`, the rest as
// sparsed takes it. Faults: tests/testing/faulty_backend.h.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "server/app.h"
#include "server/config.h"
#include "tests/testing/faulty_backend.h"

int main(int argc, char** argv) {
  using sparsed::server::ParseCommandLine;
  std::vector<sparsed::testing::Fault> faults;
  int taken = 0;
  while (taken + 2 < argc && std::strcmp(argv[taken + 1], "--fault") == 0) {
    auto fault = sparsed::testing::ParseFault(argv[taken + 2]);
    if (!fault.ok()) {
      std::fprintf(stderr, "%s\n", std::string(fault.status().message()).c_str());
      return 2;
    }
    faults.push_back(*std::move(fault));
    taken += 2;
  }
  argv[taken] = argv[0];
  const auto read_settings = [argc, argv, taken] {
    return ParseCommandLine(argc - taken, argv + taken);
  };
  const sparsed::server::CommandLine line = read_settings();
  if (!line.serve) {
    std::fputs(line.output.c_str(), line.exit_code == 0 ? stdout : stderr);
    return line.exit_code;
  }
  const auto make_backend =
      [&faults](const sparsed::kernels::BackendOptions& options,
                std::string* why) -> absl::StatusOr<std::unique_ptr<sparsed::kernels::Backend>> {
    auto inner = sparsed::kernels::CreateBackend(options, why);
    if (!inner.ok()) return inner.status();
    return std::make_unique<sparsed::testing::FaultyBackend>(*std::move(inner), faults);
  };
  return sparsed::server::Serve(*line.serve, read_settings, make_backend);
}
