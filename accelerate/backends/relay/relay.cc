#include "accelerate/backends/relay/relay.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/backends/relay/relay_program.h"
#include "accelerate/net/http_url.h"
#include "accelerate/net/socket.h"

namespace accelerate {
namespace {

constexpr size_t kListedMax = 20;  // models in an error

std::string key_variable(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
  return "IPFS_ACCELERATE_RELAY_" + name + "_KEY";
}

Result<RelayUpstreamAddress> upstream_of(const Model& model) {
  const auto text = [&](const char* key) {
    const auto found = model.config.other.find(key);
    return found == model.config.other.end() ? std::string() : found->second;
  };
  RelayUpstreamAddress upstream{.name = text("relay.name"), .url = text("relay.url"), .key = {}};
  if (model.format != "relay" || upstream.name.empty() || model.config.name.empty()) {
    return Error{ErrorCode::kUnimplemented, "only models of an upstream, named relay:NAME/model"};
  }
  ACC_TRY(const HttpUrl url, parse_http_url(upstream.url));
  const std::string variable = key_variable(upstream.name);
  if (const char* key = std::getenv(variable.c_str())) upstream.key = key;
  if (!upstream.key.empty() && !url.secure && !is_loopback(url.host)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[relay] a key goes over https, or stays on this machine; got {} for {}; try https, or no {}", url.origin(), upstream.name, variable)};
  }
  return upstream;
}

class RelayBackend final : public Backend {
 public:
  RelayBackend() {
    about_.name = "relay";
    about_.hardware = {"relay"};
    about_.summary = "models of OpenAI-compatible upstreams, where a name says so";
    about_.needs = {"--relay NAME=URL"};
    about_.how_to_get = "built in";
    about_.separate = true;
  }
  const Descriptor& about() const override { return about_; }
  std::vector<Verdict> probe(Deadline) override {
    Verdict verdict{.state = Verdict::State::kAvailable, .hardware = "relay", .devices = {}, .version = "built in",
                    .evidence = "nothing is asked before a model of an upstream is opened", .reason = {}, .how_to_get = {}};
    verdict.devices.push_back({.kind = "relay", .index = 0, .name = "upstreams that --relay names", .memory_bytes = 0, .features = {}});
    return {verdict};
  }
  Support supports(const Model& model, const Device&, const CompileOptions&) const override {
    const Result<RelayUpstreamAddress> upstream = upstream_of(model);
    if (upstream) return {.yes = true, .reason = {}, .memory_bytes = 0, .memory = {}};
    return {.yes = false, .reason = upstream.error().message, .code = upstream.error().code, .memory_bytes = 0, .memory = {}};
  }
  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device&, const CompileOptions& options, Progress& progress) override {
    ACC_TRY(RelayUpstreamAddress upstream, upstream_of(*model));
    if (options.quantization || options.deterministic || options.precision == Precision::kExact) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[relay] quantization, precision and determinism are {}'s own; got an option for them; try without", upstream.name)};
    }
    if (!progress.update("asking " + upstream.name + " for its models", 0, 0, "models")) return Error{ErrorCode::kCancelled, "[relay] stopped"};
    ACC_TRY(const std::vector<std::string> ids, relay_models(HttpClient(), upstream));
    if (std::find(ids.begin(), ids.end(), model->config.name) == ids.end()) {
      const size_t shown = std::min(ids.size(), kListedMax);
      return Error{ErrorCode::kNotFound, fmt::format("[relay] {} lists the model that is asked for; got '{}'; try one of {}{}", upstream.name, model->config.name,
                                                     fmt::join(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(shown), ", "), shown < ids.size() ? " ..." : "")};
    }
    Compiled compiled;
    compiled.program = std::make_unique<RelayProgram>(std::move(model), std::move(upstream));
    return compiled;
  }
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[relay] an upstream's model leaves no artifact here"};
  }

 private:
  Descriptor about_;
};

}  // namespace

std::unique_ptr<Backend> make_relay_backend(BackendContext&) { return std::make_unique<RelayBackend>(); }

}  // namespace accelerate
