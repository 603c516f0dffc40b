#include "accelerate/engine/relay_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/net/http_url.h"

namespace accelerate {
namespace {

constexpr size_t kNameMax = 32;
constexpr size_t kModelMax = 256;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
}

}  // namespace

Result<RelayUpstream> parse_relay(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, std::min(equals, text.size()));
  if (equals == std::string_view::npos || !is_name(name)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[relay] an upstream is NAME=URL, its name of letters, digits, - and _; got {} bytes that are not; try --relay up=http://host:8080", text.size())};
  }
  const Result<HttpUrl> url = parse_http_url(text.substr(equals + 1));
  if (!url) return Error{url.error().code, fmt::format("{} (of --relay {})", url.error().message, name)};
  if (url->target.find('?') != std::string::npos) return Error{ErrorCode::kInvalidArgument, fmt::format("[relay] a base URL has no query; got one for {}; try its key in IPFS_ACCELERATE_RELAY_<NAME>_KEY", name)};
  std::string path = url->target;
  while (path.ends_with('/')) path.pop_back();
  return RelayUpstream{std::string(name), url->origin() + (path.empty() ? "/v1" : path)};
}

bool is_relay_name(std::string_view word) { return word.starts_with(kRelayPrefix); }

Result<std::shared_ptr<Model>> make_relay_model(std::string_view word, std::span<const RelayUpstream> upstreams) {
  const std::string_view rest = word.substr(std::min(word.size(), kRelayPrefix.size()));
  const size_t slash = rest.find('/');
  const std::string_view name = rest.substr(0, std::min(slash, rest.size()));
  const std::string_view id = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  const bool clean = std::all_of(id.begin(), id.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
  if (!is_relay_name(word) || !is_name(name) || id.empty() || id.size() > kModelMax || !clean) {
    return Error{ErrorCode::kInvalidArgument, "[relay] a model of an upstream is relay:NAME/model; got another form; try relay:up/llama-3.1-8b with --relay up=http://host:8080"};
  }
  std::string known;
  for (const RelayUpstream& upstream : upstreams) {
    known += (known.empty() ? "" : ", ") + upstream.name;
    if (upstream.name != name) continue;
    auto model = std::make_shared<Model>();
    model->path = word;
    model->format = "relay";
    model->config.architecture = "relay";
    model->config.name = id;
    model->config.other = {{"relay.name", upstream.name}, {"relay.url", upstream.url}};
    return model;
  }
  return Error{ErrorCode::kNotFound, fmt::format("[relay] an upstream is named by --relay NAME=URL; got '{}', and {}; try --relay {}=http://host:8080", name,
                                                 known.empty() ? "no --relay" : "only " + known, name)};
}

}  // namespace accelerate
