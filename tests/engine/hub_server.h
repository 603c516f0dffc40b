// A hub for tests: the routes of a Hugging Face hub over bytes of our own, with a storage of its own origin for large files,
// that cuts connections, forgets ranges and lies when told to. Its answers are written here by hand, not by the code under test.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "accelerate/base/sha256.h"
#include "tests/net/raw_server.h"

namespace accelerate::testing {

struct HubFileOfTest {
  std::string bytes;
  bool large = false;       // in large-file storage: a redirect, and its sha256 as X-Linked-ETag
  std::string sha256 = {};  // what the hub says; empty = the true one
};

class HubServer {
 public:
  HubServer() : storage_([this](Socket& peer, const std::string& request) { serve_storage(peer, request); }),
                hub_([this](Socket& peer, const std::string& request) { serve_hub(peer, request); }) {}

  std::map<std::string, HubFileOfTest> files;
  std::string commit = std::string(40, 'a');
  std::string repository = "org/repo";
  int status = 200;                 // of every answer of the hub, with `error_code`
  std::string error_code;
  bool ranges = true;               // false: whole files only, status 200
  /// Bytes of a body that come before the connection is cut; nothing = all. Asked once a body.
  std::function<std::optional<size_t>(size_t body_bytes)> cut;
  std::function<void()> on_body;    // before a body is sent

  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(hub_.port()); }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  size_t bodies() {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }
  static std::string etag_of(const HubFileOfTest& file) { return file.large ? sha256_hex(file.bytes) : sha256_hex(file.bytes).substr(0, 40); }

 private:
  static std::string header_of(const std::string& request, const std::string& name) {
    const size_t at = request.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const size_t begin = at + name.size() + 4;
    return request.substr(begin, request.find("\r\n", begin) - begin);
  }
  void note(const std::string& request, const std::string& who) {
    const std::lock_guard lock(mutex_);
    const std::string token = header_of(request, "Authorization");
    requests_.push_back(who + " " + request.substr(0, request.find(" HTTP/")) + (token.empty() ? "" : " with " + token));
  }
  static void answer(Socket& peer, int code, const std::string& headers, const std::string& body = {}) {
    RawServer::say(peer, "HTTP/1.1 " + std::to_string(code) + " X\r\n" + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }

  void serve_hub(Socket& peer, const std::string& request) {
    note(request, "hub");
    if (status != 200) return answer(peer, status, error_code.empty() ? "" : "X-Error-Code: " + error_code + "\r\n");
    const std::string path = request.substr(request.find(' ') + 1, request.find(" HTTP/") - request.find(' ') - 1);
    const std::string prefix = "/" + repository + "/resolve/" + commit + "/";
    if (path == "/api/models/" + repository + "/revision/main" || path == "/api/models/" + repository + "/revision/refs%2Fpr%2F1") {
      std::string siblings;
      for (const auto& [name, file] : files) siblings += (siblings.empty() ? "" : ",") + std::string("{\"rfilename\":\"") + name + "\"}";
      return answer(peer, 200, "", "{\"id\":\"" + repository + "\",\"sha\":\"" + commit + "\",\"siblings\":[" + siblings + "]}");
    }
    const auto found = path.starts_with(prefix) ? files.find(path.substr(prefix.size())) : files.end();
    if (found == files.end()) return answer(peer, 404, "X-Error-Code: EntryNotFound\r\n");
    const HubFileOfTest& file = found->second;
    if (!file.large) return serve_bytes(peer, request, file, etag_of(file));
    answer(peer, 302, "Location: http://127.0.0.1:" + std::to_string(storage_.port()) + "/" + found->first + "?signature=secret\r\nX-Linked-Size: " + std::to_string(file.bytes.size()) +
                          "\r\nX-Linked-ETag: \"" + (file.sha256.empty() ? etag_of(file) : file.sha256) + "\"\r\nX-Repo-Commit: " + commit + "\r\n", "moved");
  }
  void serve_storage(Socket& peer, const std::string& request) {
    note(request, "storage");
    const std::string path = request.substr(request.find(' ') + 2, request.find('?') - request.find(' ') - 2);
    serve_bytes(peer, request, files.at(path), "storage-etag");
  }
  void serve_bytes(Socket& peer, const std::string& request, const HubFileOfTest& file, const std::string& etag) {
    const std::string common = "ETag: \"" + etag + "\"\r\nAccept-Ranges: bytes\r\n";
    if (request.starts_with("HEAD ")) return RawServer::say(peer, "HTTP/1.1 200 OK\r\n" + common + "Content-Length: " + std::to_string(file.bytes.size()) + "\r\n\r\n");
    std::string range = header_of(request, "Range");
    const std::string condition = header_of(request, "If-Range");
    if (!condition.empty() && condition != "\"" + etag + "\"") range.clear();
    const size_t start = range.empty() || !ranges ? 0 : std::stoull(range.substr(6));
    if (start > 0 && start >= file.bytes.size()) return answer(peer, 416, "");
    const std::string body = file.bytes.substr(start);
    std::string head = "HTTP/1.1 " + std::string(start > 0 ? "206" : "200") + " OK\r\n" + common + "Content-Length: " + std::to_string(body.size()) + "\r\n";
    if (start > 0) head += "Content-Range: bytes " + std::to_string(start) + "-" + std::to_string(file.bytes.size() - 1) + "/" + std::to_string(file.bytes.size()) + "\r\n";
    {
      const std::lock_guard lock(mutex_);
      ++bodies_;
    }
    if (on_body) on_body();
    const std::optional<size_t> end = cut ? cut(body.size()) : std::nullopt;
    RawServer::say(peer, head + "\r\n" + body.substr(0, end.value_or(body.size())));
    if (end && *end % 2 == 0) RawServer::reset(peer);
  }

  std::mutex mutex_;
  std::vector<std::string> requests_;
  size_t bodies_ = 0;
  RawServer storage_, hub_;
};

}  // namespace accelerate::testing
