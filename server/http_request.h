// The head of an HTTP/1.1 request, and the text of an answer.
#pragma once

#include <string>

#include "server/http_listener.h"

namespace sparsed::server {

// head: all up to the empty line. Returns the whole answer, to be followed by closing the
// connection: handler's page for GET and HEAD, 405 for other methods, 400 for what is no HTTP/1
// request. Pure but for the handler.
std::string AnswerRequest(const std::string& head, const HttpListener::Handler& handler);

// The answer's text. with_body: not for HEAD.
std::string FormatAnswer(const HttpPage& page, bool with_body);

}  // namespace sparsed::server
