// Serve flags - who may use the server, how, and how much: the options of `serve` beside its models, and ServeOptions from them.
//
//   add_serve_flags(app, flags_);
//   ACC_TRY(ServeOptions options, serve_options(console, flags_));   // keys are hashed here, and forgotten
//
// Keys are in no help text and no error.
#pragma once

#include <string>
#include <vector>

#include "accelerate/cli/console.h"
#include "accelerate/serve/server.h"

namespace CLI {
class App;
}

namespace accelerate {

struct ServeFlags {
  ServeOptions options;  // all that needs no more than a place
  std::vector<std::string> api_keys, admin_keys;
  std::string api_key_file, admin_key_file, tls_cert, tls_key;
  uint32_t header_seconds = 10, body_seconds = 60, idle_seconds = 75, write_seconds = 30;
  uint32_t drain_seconds = 8;  // `docker stop` kills after 10
  bool on_demand = false;
  uint32_t idle_unload_seconds = 0;
  std::vector<std::string> pinned;  // names
};
void add_serve_flags(CLI::App& app, ServeFlags& flags);

/// Warns of what is allowed but risky. invalid_argument and errors of files as of ApiKeys; `flags` has no keys afterwards.
Result<ServeOptions> serve_options(Console& console, ServeFlags& flags);

}  // namespace accelerate
