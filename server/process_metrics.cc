#include "server/process_metrics.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#ifdef __SANITIZE_ADDRESS__
// GCC comes without the header <sanitizer/allocator_interface.h>.
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace sparsed::server {
namespace {

prometheus::MetricFamily ProcessFamily(const char* name, const char* help,
                                       prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return {name, help, type, {metric}};
}

// What has been allocated and not freed. A sanitizer has an allocator of its own.
double HeapBytes() {
#ifdef __SANITIZE_ADDRESS__
  return static_cast<double>(__sanitizer_get_current_allocated_bytes());
#else
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
#endif
}

double ToSeconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  double virtual_pages = 0;
  double resident_pages = 0;
  if (std::ifstream statm("/proc/self/statm"); statm >> virtual_pages >> resident_pages) {
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    families.push_back(ProcessFamily("process_virtual_memory_bytes", "Virtual memory.",
                                     MetricType::Gauge, virtual_pages * page));
    families.push_back(ProcessFamily("process_resident_memory_bytes", "Resident memory.",
                                     MetricType::Gauge, resident_pages * page));
  }
  families.push_back(ProcessFamily("process_heap_bytes", "Memory allocated and not freed.",
                                   MetricType::Gauge, HeapBytes()));
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    families.push_back(ProcessFamily("process_cpu_seconds_total",
                                     "Processor time, user and system.", MetricType::Counter,
                                     ToSeconds(usage.ru_utime) + ToSeconds(usage.ru_stime)));
  }
  std::error_code error;
  const std::filesystem::directory_iterator fds("/proc/self/fd", error);
  if (!error) {
    // The iterator's own descriptor is one of them.
    const auto count = std::distance(std::filesystem::begin(fds), std::filesystem::end(fds)) - 1;
    families.push_back(ProcessFamily("process_open_fds", "Open file descriptors.",
                                     MetricType::Gauge, static_cast<double>(count)));
  }
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(ProcessFamily("process_max_fds", "Most open file descriptors.",
                                     MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace sparsed::server
