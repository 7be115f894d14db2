#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace sparsed::kernels {
namespace {

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : AvailableCores();
  workers_.reserve(static_cast<size_t>(count) - 1);
  for (int thread = 1; thread < count; ++thread) {
    workers_.emplace_back([this, thread] { WorkerLoop(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::TakeTasks(const Body& body, int64_t tasks, int thread) {
  for (int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed); task < tasks;
       task = next_task_.fetch_add(1, std::memory_order_relaxed)) {
    body(task, thread);
  }
}

void ThreadPool::Run(int64_t tasks, const Body& body) {
  if (tasks <= 1 || workers_.empty()) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mu_);
    body_ = &body;
    tasks_ = tasks;
    next_task_.store(0, std::memory_order_relaxed);
    active_ = static_cast<int>(std::min(static_cast<int64_t>(workers_.size()), tasks - 1));
    busy_ = active_;
    ++generation_;
  }
  start_.notify_all();
  TakeTasks(body, tasks, 0);
  // A worker that wakes late still reads body_, so the call ends only when all active ones have
  // looked.
  std::unique_lock<std::mutex> lock(mu_);
  done_.wait(lock, [this] { return busy_ == 0; });
  body_ = nullptr;
}

void ThreadPool::WorkerLoop(int thread) {
  uint64_t seen = 0;
  for (;;) {
    const Body* body = nullptr;
    int64_t tasks = 0;
    {
      std::unique_lock<std::mutex> lock(mu_);
      start_.wait(lock, [&] { return stop_ || (generation_ != seen && thread <= active_); });
      if (stop_) return;
      seen = generation_;
      body = body_;
      tasks = tasks_;
    }
    TakeTasks(*body, tasks, thread);
    bool last = false;
    {
      std::lock_guard<std::mutex> lock(mu_);
      last = --busy_ == 0;
    }
    if (last) done_.notify_one();
  }
}

void ThreadPool::RunRanges(int64_t items, int64_t grain, const RangeBody& body) {
  if (items <= 0) return;
  const int64_t most = 4 * static_cast<int64_t>(threads());
  const int64_t chunks = std::clamp<int64_t>(items / std::max<int64_t>(1, grain), 1, most);
  Run(chunks, [&](int64_t chunk, int thread) {
    body(items * chunk / chunks, items * (chunk + 1) / chunks, thread);
  });
}

}  // namespace sparsed::kernels
