// Ctrl-C (SIGINT) and SIGTERM as calls on an ordinary thread.
#pragma once

#include <functional>
#include <mutex>
#include <thread>

namespace sparsed::clients {

// Blocks both signals for the thread that makes it and for all threads made after it, and waits for
// them on a thread of its own. Make one, first thing in main.
// The first signal while a handler is set calls that handler; any other one ends the program with
// status 130, after the terminal's cursor has been made visible again.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Sets the handler as long as it lives; one at a time. After its end the handler is not running
  // and will not be called.
  class Scope {
   public:
    Scope(Interrupt& interrupt, std::function<void()> handler);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // Whether a signal came.
    bool interrupted() const;

   private:
    Interrupt& interrupt_;
  };

 private:
  void Wait();
  void OnSignal();

  int signals_ = -1;  // signalfd
  int stop_ = -1;     // eventfd
  mutable std::mutex mu_;
  std::function<void()> handler_;  // guarded by mu_
  bool interrupted_ = false;       // guarded by mu_
  std::thread thread_;
};

}  // namespace sparsed::clients
