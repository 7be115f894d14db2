#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::kernels {
namespace {

TEST_CASE("every task runs once, on a thread of its own, again and again") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    REQUIRE(pool.threads() == threads);
    for (int round = 0; round < 300; ++round) {
      const int64_t tasks = round % 40;
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::vector<std::atomic<int>> inside(static_cast<size_t>(threads));
      std::atomic<int> shared = 0;
      pool.Run(tasks, [&](int64_t task, int thread) {
        if (inside[static_cast<size_t>(thread)]++ != 0) ++shared;
        ++runs[static_cast<size_t>(task)];
        --inside[static_cast<size_t>(thread)];
      });
      int wrong = shared;
      for (const std::atomic<int>& count : runs) wrong += count != 1;
      REQUIRE(wrong == 0);
    }
  }
}

TEST_CASE("results written by tasks are seen by the caller, whichever thread calls") {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<int64_t> squares(100);
    std::thread caller([&] {
      pool.Run(100, [&](int64_t task, int) { squares[static_cast<size_t>(task)] = task * task; });
    });
    caller.join();
    REQUIRE(squares[99] == 99 * 99);
    REQUIRE(squares[50] == 2500);
  }
}

TEST_CASE("ranges cover the items once and respect the grain") {
  ThreadPool pool(2);
  for (const int64_t items : {0, 1, 7, 8, 100}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(items));
    std::atomic<int> too_short = 0;
    pool.RunRanges(items, 4, [&](int64_t first, int64_t last, int) {
      if (last - first < std::min<int64_t>(4, items)) ++too_short;
      for (int64_t i = first; i < last; ++i) ++runs[static_cast<size_t>(i)];
    });
    int wrong = too_short;
    for (const std::atomic<int>& count : runs) wrong += count != 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("0 threads means the cores this process may use") {
  cpu_set_t set;
  CPU_ZERO(&set);
  REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
  CHECK(ThreadPool(0).threads() == CPU_COUNT(&set));
}

}  // namespace
}  // namespace sparsed::kernels
