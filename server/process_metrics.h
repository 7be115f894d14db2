// The process_* metrics that Prometheus clients share: memory, processor time, descriptors.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace sparsed::server {

// Reads /proc/self at every collection; what cannot be read is left out.
class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace sparsed::server
