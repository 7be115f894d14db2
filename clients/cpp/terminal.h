// What standard output is, and drawing in place on it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparsed::clients {

struct TerminalSize {
  int columns = 80;
  int rows = 24;
};

// Whether the file descriptor is a terminal that can redraw (TERM is set and not "dumb").
bool IsLiveTerminal(int fd);

// Whether colours are wanted: NO_COLOR is not set, or is empty (no-color.org).
bool WantsColor();

// The size of the terminal behind `fd`; 80 x 24 where unknown.
TerminalSize SizeOf(int fd);

// Writes everything, whatever it takes; errors are ignored.
void WriteAll(int fd, std::string_view bytes);

// Shows the cursor, in default colours, at the start of a new line, if standard output or standard
// error is a terminal. Async-signal-safe.
void RestoreTerminal();

// A few lines at the bottom of the output that are drawn over one another, with the cursor hidden.
// Threads: one at a time.
class LiveLines {
 public:
  explicit LiveLines(int fd) : fd_(fd) {}
  ~LiveLines() { Clear(); }
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  // Replaces the lines. Each must be narrower than the terminal, and there must be fewer of them
  // than it has rows. Works out the cursor's way back after a change of the terminal's width.
  void Draw(const std::vector<std::string>& lines);

  // Removes the lines and shows the cursor; the next Draw begins anew.
  void Clear();

 private:
  std::string BackToFirstLine(int columns) const;

  int fd_;
  bool drawn_ = false;
  std::vector<int> line_columns_;  // widths of the lines now on the screen
};

// Columns of `line`, its colour sequences (ESC [ ... m) not counted.
int VisibleColumns(std::string_view line);

}  // namespace sparsed::clients
