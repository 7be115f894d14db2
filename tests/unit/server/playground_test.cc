#include "server/playground.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "server/http_openai.h"
#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

// The HTTP port, and what a browser gets from it. Nothing else of the server is there.
class BrowsedPort {
 public:
  explicit BrowsedPort(bool playground, InspectionBudget* budget = nullptr)
      : service_(PartsWith(playground, budget)) {
    auto started = service_.Start({"127.0.0.1", 0});
    REQUIRE(started.ok());
    server_ = *std::move(started);
  }
  httplib::Response Get(const std::string& path, const httplib::Headers& headers = {}) const {
    httplib::Client client("127.0.0.1", server_->port());
    const httplib::Result result = client.Get(path, headers);
    INFO(path);
    REQUIRE(result);
    return *result;
  }
  httplib::Response Post(const std::string& path) const {
    httplib::Client client("127.0.0.1", server_->port());
    const httplib::Result result = client.Post(path, "{}", "application/json");
    INFO(path);
    REQUIRE(result);
    return *result;
  }

 private:
  static OpenAiService::Parts PartsWith(bool playground, InspectionBudget* budget) {
    OpenAiService::Parts parts;
    parts.write_time = std::chrono::seconds(10);
    parts.playground = playground;
    parts.inspection_budget = budget;
    return parts;
  }
  OpenAiService service_;
  std::unique_ptr<HttpServer> server_;
};

std::string FileOf(const std::string& name) {
  std::ifstream in(SPARSED_WEB_DIR "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct ServedFile {
  const char* path;
  const char* file;
  const char* type;
};
constexpr ServedFile kServedFiles[] = {
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/playground/page.css", "page.css", "text/css; charset=utf-8"},
    {"/playground/icon.svg", "icon.svg", "image/svg+xml"},
    {"/playground/page.js", "page.js", "text/javascript; charset=utf-8"},
    {"/playground/form.js", "form.js", "text/javascript; charset=utf-8"},
    {"/playground/wire.js", "wire.js", "text/javascript; charset=utf-8"},
    {"/playground/canvas.js", "canvas.js", "text/javascript; charset=utf-8"},
    {"/playground/patterns.js", "patterns.js", "text/javascript; charset=utf-8"},
};

}  // namespace

TEST_CASE("playground: the page's files, with their types and what a browser may do with them") {
  const BrowsedPort port(true);
  std::set<std::string> tags;
  for (const ServedFile& served : kServedFiles) {
    const httplib::Response page = port.Get(served.path);
    INFO(served.path);
    CHECK(page.status == 200);
    CHECK(page.get_header_value("Content-Type") == served.type);
    CHECK_FALSE(page.body.empty());
    CHECK((page.body == FileOf(served.file)));
    const std::string policy = page.get_header_value("Content-Security-Policy");
    CHECK(policy.rfind("default-src 'none';", 0) == 0);
    CHECK(policy.find("unsafe") == std::string::npos);
    CHECK(policy.find("frame-ancestors 'none'") != std::string::npos);
    CHECK(page.get_header_value("X-Content-Type-Options") == "nosniff");
    CHECK(page.get_header_value("Cache-Control") == "no-cache");
    tags.insert(page.get_header_value("ETag"));
  }
  CHECK(tags.size() == std::size(kServedFiles));
  CHECK(tags.count("") == 0);
}

TEST_CASE("playground: a file that the browser has is not sent again") {
  const BrowsedPort port(true);
  const std::string tag = port.Get("/").get_header_value("ETag");
  const httplib::Response known = port.Get("/", {{"If-None-Match", "\"x\", W/" + tag}});
  CHECK(known.status == 304);
  CHECK(known.body.empty());
  CHECK(known.get_header_value("ETag") == tag);
  CHECK(port.Get("/", {{"If-None-Match", "\"x\""}}).status == 200);
}

TEST_CASE("playground: there is nothing unless it was asked for, and nothing but its files") {
  const BrowsedPort port(false);
  for (const ServedFile& served : kServedFiles) CHECK(port.Get(served.path).status == 404);
  CHECK(port.Get("/playground/server.json").status == 404);
  const BrowsedPort page(true);
  for (const char* path :
       {"/index.html", "/playground/pagexcss", "/playground/page.css/", "/../README.md"}) {
    INFO(path);
    CHECK(page.Get(path).status == 404);
  }
}

TEST_CASE("playground: inspections are there where the server has them") {
  InspectionBudget budget(1);
  const BrowsedPort with(true, &budget);
  CHECK(with.Get("/playground/server.json").body == R"({"inspections":true})");
  const BrowsedPort without(true);
  CHECK(without.Get("/playground/server.json").body == R"({"inspections":false})");
  const BrowsedPort no_page(false, &budget);
  for (const char* path :
       {"/playground/inspect/completions", "/playground/inspect/chat/completions"}) {
    CHECK(without.Post(path).status == 404);
    CHECK(no_page.Post(path).status == 404);
  }
}

}  // namespace sparsed::server
