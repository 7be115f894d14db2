// The page for browsers, clients/web, which is part of the program: a form for OpenAI's interface
// of the same port, and the canvas that it sends.
#pragma once

#include <string>
#include <vector>

#include "server/http_server.h"

namespace sparsed::server {

struct PageFile {
  std::string path;  // "/playground/page.css"
  std::string type;
  std::string bytes;
};
std::vector<PageFile> PlaygroundFiles();

// Before Start. The files are for everyone who can connect; they hold nothing of the model, and
// what the page is told of the server is whether it has `inspections`.
void AddPlayground(HttpServer& server, bool inspections);

}  // namespace sparsed::server
