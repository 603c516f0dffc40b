// Relay models - what "relay:NAME/model" means: a model of an OpenAI-compatible upstream that a --relay option named.
//
//   ACC_TRY(RelayUpstream upstream, parse_relay("up=http://host:8080"));                 // url becomes http://host:8080/v1
//   ACC_TRY(std::shared_ptr<Model> model, make_relay_model("relay:up/llama-3.1-8b", {&upstream, 1}));
//
// The Model is plain data that backends/relay reads: format "relay", config.name = the upstream's id, config.other
// "relay.name" and "relay.url". Nothing is asked of anybody here. Pure functions; errors are invalid_argument and not_found.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

inline constexpr std::string_view kRelayPrefix = "relay:";

struct RelayUpstream {
  std::string name;  // letters, digits, - and _; at most 32
  std::string url;   // base of the API's routes; no '/' at its end
};
/// "NAME=URL". A URL without a path gets /v1, as the API's own base has it.
Result<RelayUpstream> parse_relay(std::string_view text);

bool is_relay_name(std::string_view word);
/// not_found lists the names that are known.
Result<std::shared_ptr<Model>> make_relay_model(std::string_view word, std::span<const RelayUpstream> upstreams);

}  // namespace accelerate
