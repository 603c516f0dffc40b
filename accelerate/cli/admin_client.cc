#include "accelerate/cli/admin_client.h"

#include <chrono>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/console.h"
#include "accelerate/cli/signals.h"
#include "accelerate/net/http_client.h"
#include "accelerate/net/http_url.h"
#include "accelerate/net/socket.h"
#include "accelerate/serve/key_file.h"

namespace accelerate {
namespace {

constexpr std::chrono::hours kAnswerTime{24};         // a load may have to read and prove a large model; SIGINT ends the wait
constexpr size_t kServerWordsMax = 1000;              // of an answer that is no error of ours

ErrorCode code_of_status(int status) {
  for (int code = 0; code < kErrorCodeCount; ++code) {
    const auto one = static_cast<ErrorCode>(code);
    if (error_code_traits(one).http_status == status && one != ErrorCode::kUnknown) return one;
  }
  return ErrorCode::kUnknown;
}

// The message of {"error": {"message": ...}}, or the beginning of whatever came.
std::string words_of(const std::string& body) {
  const Result<Json> json = parse_json(body, {.where = "admin"});
  if (json && json->is_object() && json->contains("error") && (*json)["error"].is_object()) {
    const Json& error = (*json)["error"];
    if (error.contains("message") && error["message"].is_string()) return error["message"].get<std::string>();
  }
  return fmt::format("'{}'", printable(body, kServerWordsMax));
}

}  // namespace

void add_admin_client_flags(CLI::App& app, AdminClientFlags& flags) {
  app.add_option("--url", flags.url, fmt::format("The server; default: {}", flags.url))->type_name("URL");
  app.add_option("--admin-key-file", flags.admin_key_file, "Its admin key, in a file as `serve` takes one; default: IPFS_ACCELERATE_ADMIN_KEY")->type_name("FILE");
}

Result<AdminClient> AdminClient::make(const AdminClientFlags& flags) {
  ACC_TRY_VOID(parse_http_url(flags.url));
  std::string url = flags.url;
  while (url.ends_with('/')) url.pop_back();
  if (!flags.admin_key_file.empty()) {
    ACC_TRY(const std::vector<std::string> keys, read_key_file(flags.admin_key_file));
    return AdminClient(url, keys.front());
  }
  const char* key = std::getenv("IPFS_ACCELERATE_ADMIN_KEY");
  if (key == nullptr || *key == '\0') {
    return Error{ErrorCode::kInvalidArgument, "[admin] a server asks for its admin key; got none; try --admin-key-file FILE or IPFS_ACCELERATE_ADMIN_KEY"};
  }
  if (!is_key(key)) return Error{ErrorCode::kInvalidArgument, "[admin] a key is printable ASCII characters without spaces; got another text in IPFS_ACCELERATE_ADMIN_KEY"};
  return AdminClient(url, key);
}

Result<std::string> AdminClient::ask(std::string_view method, std::string_view path, std::string_view json) const {
  HttpCall call{.method = std::string(method), .url = fmt::format("{}/v1/admin/{}", url_, path), .headers = {{"Authorization", "Bearer " + key_}},
                .body = std::string(json), .redirects = HttpCall::Redirects::kReturn, .limits = {}, .timeouts = {.idle = kAnswerTime, .total = {}},
                .deadline = {}, .stop = &stop_flag()};
  if (!json.empty()) call.headers.push_back({"Content-Type", "application/json"});
  Result<HttpResponse> response = HttpClient().request(call);
  if (!response && response.error().code == ErrorCode::kUnavailable) {
    return Error{ErrorCode::kUnavailable, fmt::format("[admin] a server has to listen at {}; got {}; try `ipfs-accelerate serve` there, or --url",
                                                      url_, response.error().message)};
  }
  if (!response) return response.error();
  if (response->status >= 200 && response->status < 300) return std::move(response->body);
  return Error{code_of_status(response->status), fmt::format("[admin] {} answered {} to {} {}: {}", url_, response->status, method, path, words_of(response->body))};
}

bool AdminClient::private_to_others() const {
  const Result<HttpUrl> url = parse_http_url(url_);
  return url && (url->secure || is_loopback(url->host));
}

}  // namespace accelerate
