// RawClient - a TCP client for tests that says exactly the bytes it is told, and reads HTTP answers itself (not with the
// code under test).
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace accelerate::testing {

struct RawResponse {
  int status = 0;  // 0 = no answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool whole = false;  // ended as its headers said it would
};

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    const timeval limit{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// One recv; empty at the end or after 20 s.
  std::string hear_some() {
    char bytes[16384];
    const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : std::string();
  }
  /// The peer has closed: nothing more comes.
  bool at_end() { return left_.empty() && hear_some().empty(); }
  std::string hear_until(std::string_view mark) {
    while (left_.find(mark) == std::string::npos) {
      const std::string more = hear_some();
      if (more.empty()) break;
      left_ += more;
    }
    const size_t end = left_.find(mark);
    return take(end == std::string::npos ? left_.size() : end + mark.size());
  }
  RawResponse hear_response(bool head_only = false) {
    RawResponse out;
    const std::string head = hear_until("\r\n\r\n");
    if (head.rfind("HTTP/1.1 ", 0) != 0) return out;
    out.status = std::atoi(head.c_str() + 9);
    size_t line = head.find("\r\n") + 2;
    while (line < head.size() - 2) {
      const size_t end = head.find("\r\n", line);
      const size_t colon = head.find(':', line);
      std::string name = head.substr(line, colon - line);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      out.headers[name] = head.substr(colon + 2, end - colon - 2);
      line = end + 2;
    }
    if (head_only || out.status == 204) {
      out.whole = true;
    } else if (out.headers.count("transfer-encoding") > 0) {
      hear_chunks(out);
    } else if (out.headers.count("content-length") > 0) {
      const size_t size = std::strtoull(out.headers["content-length"].c_str(), nullptr, 10);
      while (left_.size() < size) {
        const std::string more = hear_some();
        if (more.empty()) break;
        left_ += more;
      }
      out.whole = left_.size() >= size;
      out.body = take(std::min(size, left_.size()));
    } else {
      out.body = take(left_.size());
      for (std::string more = hear_some(); !more.empty(); more = hear_some()) out.body += more;
      out.whole = true;
    }
    return out;
  }
  RawResponse ask(std::string_view method, std::string_view path, std::string_view body = "", std::string_view headers = "") {
    std::string request = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nhost: test\r\n" + std::string(headers);
    if (!body.empty()) request += "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n";
    say(request + "\r\n" + std::string(body));
    return hear_response(method == "HEAD");
  }

 private:
  std::string take(size_t bytes) {
    std::string out = left_.substr(0, bytes);
    left_.erase(0, bytes);
    return out;
  }
  void hear_chunks(RawResponse& out) {
    for (;;) {
      const std::string line = hear_until("\r\n");
      if (line.size() < 3) return;
      const size_t size = std::strtoull(line.c_str(), nullptr, 16);
      while (left_.size() < size + 2) {
        const std::string more = hear_some();
        if (more.empty()) return;
        left_ += more;
      }
      const std::string piece = take(size + 2);
      if (size == 0) {
        out.whole = true;
        return;
      }
      out.body.append(piece, 0, size);
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string left_;
};

}  // namespace accelerate::testing
