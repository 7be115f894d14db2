#include "server/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

constexpr HttpLimits kLimitsOfTwo = {
    .head_bytes = 1000,
    .body_bytes = 1000,
    .request_time = std::chrono::minutes(1),
    .idle_time = std::chrono::minutes(1),
    .write_time = std::chrono::minutes(1),
    .requests = 2,
};

class Visitor {
 public:
  explicit Visitor(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }
  ~Visitor() { close(socket_); }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  void Send(const std::string& bytes) const {
    // Whether it arrives shows in the answer.
    (void)send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Until it ends with `last`, or the server closes.
  std::string Answer(const std::string& last) const {
    std::string bytes;
    char part[1000];
    while (bytes.size() < last.size() || bytes.substr(bytes.size() - last.size()) != last) {
      const ssize_t got = recv(socket_, part, sizeof(part), 0);
      if (got <= 0) break;
      bytes.append(part, static_cast<size_t>(got));
    }
    return bytes;
  }

 private:
  const int socket_;
};

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("http: who comes while all threads are taken is turned away, not put in a list") {
  HttpServer server(2, kLimitsOfTwo);
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("served", "text/plain");
  });
  server.set_full_answer([] { return "HTTP/1.1 503 Full\r\n\r\nfull"; });
  REQUIRE(server.Start({"127.0.0.1", 0}, "--flag").ok());
  const std::string get = "GET / HTTP/1.1\r\n\r\n";
  {
    const Visitor two[] = {Visitor(server.port()), Visitor(server.port())};
    for (const Visitor& early : two) {
      early.Send(get);
      CHECK(Has(early.Answer("served"), "HTTP/1.1 200"));
    }
    for (int i = 0; i < 100; ++i) {
      const Visitor late(server.port());
      CHECK(late.Answer("nothing") == "HTTP/1.1 503 Full\r\n\r\nfull");
    }
    for (const Visitor& early : two) {
      early.Send(get);
      CHECK(Has(early.Answer("served"), "HTTP/1.1 200"));
    }
  }
  std::string answer;
  while (!Has(answer, "served")) {
    const Visitor next(server.port());
    next.Send(get);
    answer = next.Answer("served");
  }
}

TEST_CASE("http: an address that is taken is an error that names its flag") {
  HttpServer server(1, kLimitsOfTwo);
  REQUIRE(server.Start({"127.0.0.1", 0}, "--flag").ok());
  HttpServer other(1, kLimitsOfTwo);
  const absl::Status taken = other.Start({"127.0.0.1", server.port()}, "--flag");
  CHECK(taken.code() == absl::StatusCode::kUnavailable);
  CHECK(Has(std::string(taken.message()), "--flag"));
}

}  // namespace sparsed::server
