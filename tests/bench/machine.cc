#include "tests/bench/machine.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>

namespace sparsed::bench {
namespace {

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::string UtcNow() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace

Machine DescribeMachine() {
  Machine machine;
  machine.cpu = CpuModel();
  machine.cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (getloadavg(&machine.load, 1) != 1) machine.load = -1;
  utsname name = {};
  uname(&name);
  machine.system = std::string(name.sysname) + " " + name.release + " " + name.machine +
                   ", compiler " + __VERSION__;
  machine.version = SPARSED_VERSION;
  machine.commit = SPARSED_COMMIT;
  machine.date = UtcNow();
  return machine;
}

nlohmann::ordered_json ToJson(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"load_average_before", machine.load},
          {"system", machine.system},
          {"version", machine.version},
          {"commit", machine.commit},
          {"date", machine.date}};
}

uint64_t PeakResidentBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace sparsed::bench
