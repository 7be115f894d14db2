#include "server/playground.h"

#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sparsed::server {
namespace {

// Nothing from elsewhere, nothing inline, and in nobody's frame.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

std::string TagOf(const std::string& bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  constexpr size_t kTagBytes = 16;
  const std::string beginning(reinterpret_cast<const char*>(digest), kTagBytes);
  return absl::StrCat("\"", absl::BytesToHexString(beginning), "\"");
}

// The library takes patterns.
std::string PatternOf(const std::string& path) { return absl::StrReplaceAll(path, {{".", "\\."}}); }

}  // namespace

void AddPlayground(HttpServer& server, bool inspections) {
  for (const PageFile& file : PlaygroundFiles()) {
    const std::string tag = TagOf(file.bytes);
    const auto answer = [file, tag](const httplib::Request& request, httplib::Response& response) {
      response.set_header("Content-Security-Policy", kPolicy);
      response.set_header("X-Content-Type-Options", "nosniff");
      response.set_header("Referrer-Policy", "no-referrer");
      // Kept, and asked for each time whether it is still the one: a new server has a new page.
      response.set_header("Cache-Control", "no-cache");
      response.set_header("ETag", tag);
      if (absl::StrContains(request.get_header_value("If-None-Match"), tag)) {
        response.status = 304;
      } else {
        response.set_content(file.bytes, file.type);
      }
    };
    server.Get(PatternOf(file.path), answer);
  }
  server.Get(PatternOf("/playground/server.json"), [inspections](const httplib::Request&,
                                                                 httplib::Response& response) {
    response.set_header("Cache-Control", "no-store");
    response.set_content(inspections ? R"({"inspections":true})" : R"({"inspections":false})",
                         "application/json");
  });
}

}  // namespace sparsed::server
