#include "clients/cpp/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

constexpr std::string_view kHideCursor = "\x1b[?25l";
constexpr std::string_view kShowCursor = "\x1b[?25h";
constexpr std::string_view kClearToEnd = "\x1b[J";
constexpr std::string_view kClearToEndOfLine = "\x1b[K";
// Terminals that know these show a frame only when it is complete; others ignore them.
constexpr std::string_view kBeginFrame = "\x1b[?2026h";
constexpr std::string_view kEndFrame = "\x1b[?2026l";

}  // namespace

bool IsLiveTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && term != nullptr && std::string_view(term) != "dumb" && *term != '\0';
}

bool WantsColor() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

TerminalSize SizeOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

void WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void RestoreTerminal() {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (isatty(fd) != 1) continue;
    WriteAll(fd, "\x1b[0m\x1b[?2026l\x1b[?25h\r\n");
    return;
  }
}

int VisibleColumns(std::string_view line) {
  std::string visible;
  for (size_t i = 0; i < line.size();) {
    if (line[i] != '\x1b') {
      visible += line[i++];
      continue;
    }
    const size_t end = line.find('m', i);
    i = end == std::string_view::npos ? line.size() : end + 1;
  }
  return Columns(visible);
}

std::string LiveLines::BackToFirstLine(int columns) const {
  int rows = 0;
  for (const int width : line_columns_) rows += 1 + std::max(0, width - 1) / columns;
  std::string bytes = "\r";
  if (rows > 1) absl::StrAppend(&bytes, "\x1b[", rows - 1, "A");
  return bytes;
}

void LiveLines::Draw(const std::vector<std::string>& lines) {
  std::string bytes(kBeginFrame);
  bytes += drawn_ ? BackToFirstLine(SizeOf(fd_).columns) : std::string(kHideCursor);
  line_columns_.clear();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) bytes += "\r\n";
    bytes += lines[i];
    bytes += kClearToEndOfLine;
    line_columns_.push_back(VisibleColumns(lines[i]));
  }
  bytes += kClearToEnd;
  bytes += kEndFrame;
  WriteAll(fd_, bytes);
  drawn_ = true;
}

void LiveLines::Clear() {
  if (!drawn_) return;
  std::string bytes = BackToFirstLine(SizeOf(fd_).columns);
  bytes += kClearToEnd;
  bytes += kShowCursor;
  WriteAll(fd_, bytes);
  drawn_ = false;
  line_columns_.clear();
}

}  // namespace sparsed::clients
