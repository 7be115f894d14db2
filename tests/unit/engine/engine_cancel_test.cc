// Requests that leave at random points take everything with them.
#include <iostream>
#include <map>
#include <random>
#include <vector>

#include "tests/testing/resident.h"
#include "tests/testing/sanitizers.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

constexpr int kRequests = testing::kThreadSanitizer    ? 100
                          : testing::kAddressSanitizer ? 1000
                                                       : 10000;
constexpr int kWarmUpRequests = 1000;
constexpr int64_t kMaxGrowthBytes = int64_t{4} << 20;

Request SmallRequest(std::mt19937& random) {
  Request request = MakeTinyRequest(1 + static_cast<int32_t>(random() % 90), 16, 8, 16);
  request.sampling.seed = random();
  request.sampling.temperature = random() % 2 == 0 ? 0.0f : 1.0f;
  request.sampling.cfg_scale = random() % 4 == 0 ? 1.0f : 0.0f;
  request.sparse.mode = random() % 3 == 0 ? SparseMode::kOff : SparseMode::kSparseD;
  return request;
}

}  // namespace

TEST_CASE("10,000 requests cancelled at random points leave nothing behind") {
  auto engine = MakeTinyCpuEngine(2);
  const uint64_t base_bytes = engine->backend_info().allocated_bytes;
  std::mt19937 random(3);
  std::map<SequenceId, int> steps_left;  // until its cancellation
  int64_t resident_before = 0;
  int started = 0;
  int cancelled_early = 0;
  while (started < kRequests || !steps_left.empty()) {
    while (started < kRequests && steps_left.size() < 16) {
      const auto id = engine->Start(SmallRequest(random));
      REQUIRE(id.ok());
      // 0: before its first step; 8: after its last.
      steps_left.emplace(*id, static_cast<int>(random() % 9));
      if (++started == kWarmUpRequests) resident_before = testing::ResidentBytes();
    }
    for (auto it = steps_left.begin(); it != steps_left.end();) {
      if (it->second-- > 0) {
        ++it;
        continue;
      }
      if (!engine->Find(it->first)->finished) ++cancelled_early;
      engine->Remove(it->first);
      it = steps_left.erase(it);
    }
    REQUIRE(engine->running() == static_cast<int64_t>(steps_left.size()));
    REQUIRE(engine->Step().ok());
  }
  REQUIRE(cancelled_early > kRequests / 2);
  REQUIRE(engine->running() == 0);
  REQUIRE(engine->batch_tokens() == 0);
  REQUIRE(engine->mask_cache_bytes() == 0);
  REQUIRE(engine->backend_info().allocated_bytes == base_bytes);
  const int64_t growth = testing::ResidentBytes() - resident_before;
  std::cout << "resident memory grew by " << growth / 1024 << " KiB after the first "
            << kWarmUpRequests << " of " << kRequests << " requests\n";
  if (testing::kResidentMeansHeld) REQUIRE(growth < kMaxGrowthBytes);
}

}  // namespace sparsed::engine
