// A fixed set of threads that runs the tasks of one operation at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sparsed::kernels {

// Threads: Run is called by one thread at a time; that caller takes part in the work. Workers are
// created once and sleep on a condition variable between calls; nothing spins.
class ThreadPool {
 public:
  // `threads` counts the caller; 0 means every core this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, thread) once for every task in [0, tasks), in any order; thread is in
  // [0, threads()) and never shared by two calls at the same time. Returns when all are done.
  using Body = std::function<void(int64_t task, int thread)>;
  void Run(int64_t tasks, const Body& body);

  // Calls body(first, last, thread) on chunks of at least `grain` items that cover [0, items).
  using RangeBody = std::function<void(int64_t first, int64_t last, int thread)>;
  void RunRanges(int64_t items, int64_t grain, const RangeBody& body);

 private:
  void WorkerLoop(int thread);
  void TakeTasks(const Body& body, int64_t tasks, int thread);

  std::mutex mu_;
  std::condition_variable start_;
  std::condition_variable done_;
  // Guarded by mu_.
  const Body* body_ = nullptr;
  int64_t tasks_ = 0;
  uint64_t generation_ = 0;
  int active_ = 0;  // workers 1 to active_ take part: no more than there are tasks for
  int busy_ = 0;    // of them, not done yet
  bool stop_ = false;

  std::atomic<int64_t> next_task_{0};
  std::vector<std::thread> workers_;
};

}  // namespace sparsed::kernels
