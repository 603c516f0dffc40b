// AdminClient - asks the /v1/admin of a running server, this machine's or another's.
//
//   add_admin_client_flags(app, flags_);                        // --url --admin-key-file
//   ACC_TRY(AdminClient client, AdminClient::make(flags_));
//   ACC_TRY(const std::string reply, client.ask("GET", "endpoints"));
//
// Errors are the server's own words with the code they stand for; unavailable where no server answers; unauthenticated and
// permission_denied say which key is missing where. No key is in any of them. Blocks; ends with SIGINT.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace CLI {
class App;
}

namespace accelerate {

struct AdminClientFlags {
  std::string url = "http://127.0.0.1:8080", admin_key_file;
};
void add_admin_client_flags(CLI::App& app, AdminClientFlags& flags);

class AdminClient {
 public:
  /// The key is the first of the file, else IPFS_ACCELERATE_ADMIN_KEY: no argument, which `ps` would show. invalid_argument
  /// without a key or with a URL that is none; errors of the file.
  static Result<AdminClient> make(const AdminClientFlags& flags);
  /// The body of the answer to METHOD /v1/admin/`path`; `json` empty = no body.
  Result<std::string> ask(std::string_view method, std::string_view path, std::string_view json = "") const;
  /// Whether the key goes over https, or to this machine only.
  bool private_to_others() const;

 private:
  AdminClient(std::string url, std::string key) : url_(std::move(url)), key_(std::move(key)) {}
  std::string url_, key_;
};

}  // namespace accelerate
