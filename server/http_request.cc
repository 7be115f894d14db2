#include "server/http_request.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sparsed::server {
namespace {

const char* Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

}  // namespace

std::string FormatAnswer(const HttpPage& page, bool with_body) {
  std::string text = absl::StrCat("HTTP/1.1 ", page.status, " ", Reason(page.status), "\r\n");
  if (page.status == 405) absl::StrAppend(&text, "Allow: GET, HEAD\r\n");
  if (!page.content_type.empty()) {
    absl::StrAppend(&text, "Content-Type: ", page.content_type, "\r\n");
  }
  absl::StrAppend(&text, "Content-Length: ", page.body.size(),
                  "\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n");
  if (with_body) text += page.body;
  return text;
}

std::string AnswerRequest(const std::string& head, const HttpListener::Handler& handler) {
  const std::string line = head.substr(0, head.find("\r\n"));
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  const bool well_formed = words.size() == 3 && !words[1].empty() && words[1][0] == '/' &&
                           (words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0");
  if (!well_formed) return FormatAnswer({400, "", ""}, true);
  if (words[0] != "GET" && words[0] != "HEAD") return FormatAnswer({405, "", ""}, true);
  const size_t mark = words[1].find('?');
  const std::string query = mark == std::string::npos ? "" : words[1].substr(mark + 1);
  return FormatAnswer(handler(words[1].substr(0, mark), query), words[0] == "GET");
}

}  // namespace sparsed::server
