#include "accelerate/cli/serve_flags.h"

#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/process.h"

namespace accelerate {
namespace {

constexpr uint32_t kSecondsMax = 24 * 3600;
constexpr uint32_t kConnectionsMost = 100'000;
constexpr uint32_t kRequestsPerKeyMost = 1'000'000;
constexpr size_t kBodyBytesMost = size_t{1} << 30;
constexpr uint32_t kHeaderBytesLeast = 1024, kHeaderBytesMost = 1 << 20;
constexpr uint64_t kOtherDescriptors = 64;  // models, logs, pipes

void add_access_flags(CLI::App& app, ServeFlags& flags) {
  ServeOptions& options = flags.options;
  app.add_option("--host", options.host, fmt::format("Address to listen on; default: {} (this machine only)", options.host))->type_name("ADDRESS");
  app.add_option("--port", options.port, fmt::format("Port; default: {}; 0 = any free one", options.port))->type_name("PORT");
  app.add_option("--api-key", flags.api_keys, "Key asked for as a bearer token; may repeat; `ps` shows it, a file or the environment do not")
      ->allow_extra_args(false)->type_name("KEY");
  app.add_option("--api-key-file", flags.api_key_file, "Keys, one a line; # begins a comment")->type_name("FILE");
  app.add_option("--admin-key", flags.admin_keys, "Key for /v1/admin and nothing else, which is closed without one; as --api-key")
      ->allow_extra_args(false)->type_name("KEY");
  app.add_option("--admin-key-file", flags.admin_key_file, "Keys for /v1/admin, one a line; # begins a comment")->type_name("FILE");
  app.add_flag("--insecure", options.insecure, "Listen on a public address without any key");
  app.add_option("--cors-origin", options.cors_origins, "Web page that may read answers, as https://app.example; may repeat; * = every page")
      ->allow_extra_args(false)->type_name("ORIGIN");
  app.add_option("--tls-cert", flags.tls_cert, "Serve https with this certificate chain (PEM)")->type_name("FILE");
  app.add_option("--tls-key", flags.tls_key, "Private key of --tls-cert (PEM, no passphrase)")->type_name("FILE");
  app.add_option("--access-log", options.access_log, "A line of JSON for each request to a file, or - for stdout; default: to the log at level info")
      ->type_name("FILE");
}

void add_seconds(CLI::App& app, const std::string& name, uint32_t& seconds, uint32_t least, const std::string& text) {
  app.add_option(name, seconds, fmt::format("{}; default: {}", text, seconds))->check(CLI::Range(least, kSecondsMax))->type_name("SECONDS");
}

void add_limit_flags(CLI::App& app, ServeFlags& flags) {
  ServeOptions& options = flags.options;
  app.add_option("--connections-max", options.connections_max, fmt::format("Open connections; default: {}", options.connections_max))
      ->check(CLI::Range(uint32_t{1}, kConnectionsMost))->type_name("N");
  app.add_option("--requests-per-key", options.requests_per_key,
                 fmt::format("Requests of one API key at a time; default: {}; 0 = no limit", options.requests_per_key))
      ->check(CLI::Range(uint32_t{0}, kRequestsPerKeyMost))->type_name("N");
  app.add_option("--body-bytes-max", options.body_bytes_max, fmt::format("Largest request body; default: {}", options.body_bytes_max))
      ->check(CLI::Range(size_t{1}, kBodyBytesMost))->type_name("BYTES");
  app.add_option("--header-bytes-max", options.header_bytes_max, fmt::format("Largest request header; default: {}", options.header_bytes_max))
      ->check(CLI::Range(kHeaderBytesLeast, kHeaderBytesMost))->type_name("BYTES");
  add_seconds(app, "--header-seconds", flags.header_seconds, 1, "Time for a request's header, and for a TLS handshake");
  add_seconds(app, "--body-seconds", flags.body_seconds, 1, "Time for a request's body");
  add_seconds(app, "--idle-seconds", flags.idle_seconds, 1, "Time a connection may wait for its next request");
  add_seconds(app, "--write-seconds", flags.write_seconds, 1, "Time a client may leave a piece of its answer unread");
  add_seconds(app, "--drain-seconds", flags.drain_seconds, 0, "Time for running answers after SIGTERM; a second signal ends them");
}

void add_residency_flags(CLI::App& app, ServeFlags& flags) {
  app.add_flag("--on-demand", flags.on_demand,
               "Load a model when it is asked for, not at the start; where memory lacks, unload those not used for longest");
  app.add_option("--idle-unload", flags.idle_unload_seconds, "Unload a model not used for so long; the next request loads it again; default: never")
      ->check(CLI::Range(uint32_t{1}, kSecondsMax))->type_name("SECONDS");
  app.add_option("--pin", flags.pinned, "Model that is loaded at the start and stays, by its name; may repeat")->allow_extra_args(false)->type_name("NAME");
}

// Into `keys`; `words` are forgotten.
Result<void> take_keys(Console& console, std::vector<std::string>& words, const std::string& file, ApiKeys& keys) {
  for (std::string& key : words) {
    ACC_TRY_VOID(keys.add(key));
    std::fill(key.begin(), key.end(), '\0');
  }
  words.clear();
  if (file.empty()) return {};
  ACC_TRY_VOID(keys.add_file(file));
  if (world_readable(file)) console.note(fmt::format("every user of this machine can read {}; try chmod 600", printable(file)));
  return {};
}

}  // namespace

void add_serve_flags(CLI::App& app, ServeFlags& flags) {
  add_access_flags(app, flags);
  add_limit_flags(app, flags);
  add_residency_flags(app, flags);
}

Result<ServeOptions> serve_options(Console& console, ServeFlags& flags) {
  ServeOptions options = flags.options;
  ACC_TRY_VOID(take_keys(console, flags.api_keys, flags.api_key_file, options.keys));
  ACC_TRY_VOID(take_keys(console, flags.admin_keys, flags.admin_key_file, options.admin_keys));
  if (options.insecure && options.keys.empty()) console.note("--insecure: whoever reaches this address uses the models");
  options.tls = {.certificate = flags.tls_cert, .key = flags.tls_key};
  options.timeouts.header = std::chrono::seconds(flags.header_seconds);
  options.timeouts.body = std::chrono::seconds(flags.body_seconds);
  options.timeouts.idle = std::chrono::seconds(flags.idle_seconds);
  options.timeouts.write = std::chrono::seconds(flags.write_seconds);
  const uint64_t descriptors = raise_descriptor_limit();
  if (descriptors < options.connections_max + kOtherDescriptors) {
    console.note(fmt::format("{} descriptors are granted, too few for {} connections: the rest will wait; try ulimit -Hn", descriptors,
                             options.connections_max));
  }
  return options;
}

}  // namespace accelerate
