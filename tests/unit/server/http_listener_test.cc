#include "server/http_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "server/http_request.h"
#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

HttpPage Echo(const std::string& path, const std::string& query) {
  return {200, "text/plain", path + "|" + query};
}

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

// All that comes until the end of the connection.
std::string ReadAll(int fd) {
  std::string text;
  char bytes[1024];
  for (ssize_t count = 0; (count = recv(fd, bytes, sizeof(bytes), 0)) > 0;) {
    text.append(bytes, static_cast<size_t>(count));
  }
  close(fd);
  return text;
}

std::string Ask(int port, const std::string& request) {
  const int fd = Connect(port);
  if (fd < 0) return "";
  send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  return ReadAll(fd);
}

std::unique_ptr<HttpListener> Start(HttpLimits limits = {}) {
  auto listener = HttpListener::Start({"127.0.0.1", 0}, Echo, limits);
  INFO(listener.status().ToString());
  REQUIRE(listener.ok());
  return *std::move(listener);
}

}  // namespace

TEST_CASE("http: path and query reach the page, HEAD has no body") {
  const std::string get = AnswerRequest("GET /a/b?c=d&e HTTP/1.1\r\nHost: x", Echo);
  CHECK(get.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
  CHECK(get.find("Content-Length: 10\r\n") != std::string::npos);
  CHECK(get.substr(get.size() - 14) == "\r\n\r\n/a/b|c=d&e");
  const std::string head = AnswerRequest("HEAD /a/b?c=d&e HTTP/1.1", Echo);
  CHECK(head == get.substr(0, get.size() - 10));
}

TEST_CASE("http: what is no request is refused without asking for a page") {
  const auto never = [](const std::string&, const std::string&) -> HttpPage {
    FAIL("asked for a page");
    return {};
  };
  for (const char* bad : {"", "GET", "GET /", "GET  / HTTP/1.1", "GET x HTTP/1.1", "GET / HTTP/3",
                          "GET / HTTP/1.1 x", "GET / http/1.1"}) {
    INFO(bad);
    CHECK(AnswerRequest(bad, never).rfind("HTTP/1.1 400 ", 0) == 0);
  }
  for (const char* method : {"POST", "PUT", "get", "OPTIONS", "\x01"}) {
    const std::string answer = AnswerRequest(std::string(method) + " / HTTP/1.1", never);
    CHECK(answer.rfind("HTTP/1.1 405 ", 0) == 0);
    CHECK(answer.find("Allow: GET, HEAD\r\n") != std::string::npos);
  }
}

TEST_CASE("http: a port that is taken is an error, and free again afterwards") {
  auto listener = Start();
  const int port = listener->port();
  CHECK_FALSE(HttpListener::Start({"127.0.0.1", port}, Echo, {}).ok());
  CHECK_FALSE(HttpListener::Start({"no such host.invalid", 0}, Echo, {}).ok());
  CHECK(Ask(port, "GET /x HTTP/1.1\r\n\r\n").find("/x|") != std::string::npos);
  listener.reset();
  CHECK(HttpListener::Start({"127.0.0.1", port}, Echo, {}).ok());
}

TEST_CASE("http: one connection more than the most ends the oldest one") {
  HttpLimits limits;
  limits.max_connections = 4;
  const auto listener = Start(limits);
  std::vector<int> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(Connect(listener->port()));
    send(waiting.back(), "GET", 3, MSG_NOSIGNAL);
  }
  CHECK(Ask(listener->port(), "GET /new HTTP/1.1\r\n\r\n").find("/new|") != std::string::npos);
  CHECK(ReadAll(waiting[0]).empty());
  // The others are still served.
  const std::string rest = " /late HTTP/1.1\r\n\r\n";
  send(waiting[3], rest.data(), rest.size(), MSG_NOSIGNAL);
  CHECK(ReadAll(waiting[3]).find("/late|") != std::string::npos);
  close(waiting[1]);
  close(waiting[2]);
}

TEST_CASE("http: a connection whose time is over is closed") {
  HttpLimits limits;
  limits.time = std::chrono::seconds(1);
  const auto listener = Start(limits);
  const auto start = std::chrono::steady_clock::now();
  const int silent = Connect(listener->port());
  CHECK(ReadAll(silent).empty());
  const auto waited = std::chrono::steady_clock::now() - start;
  CHECK(waited >= std::chrono::milliseconds(900));
  CHECK(waited < std::chrono::seconds(20));
}

TEST_CASE("http: many clients at once, and stopping in the middle of it") {
  auto listener = Start();
  const int port = listener->port();
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&answered, port] {
      for (int n = 0; n < 50; ++n) {
        if (Ask(port, "GET /x HTTP/1.1\r\n\r\n").find("/x|") != std::string::npos) ++answered;
      }
    });
  }
  while (answered < 100) std::this_thread::yield();
  listener.reset();
  for (std::thread& client : clients) client.join();
  CHECK(answered >= 100);
}

}  // namespace sparsed::server
