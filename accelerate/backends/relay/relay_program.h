// RelayProgram - one model of one upstream; relay.h has the contract.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "accelerate/backends/relay/relay_answer.h"
#include "accelerate/core/program.h"
#include "accelerate/net/http_client.h"

namespace accelerate {

struct RelayUpstreamAddress {
  std::string name, url, key;  // url: without '/' at its end; key empty = none
};

/// Ids of GET {url}/models. Errors as relay_error() and HttpClient have them.
Result<std::vector<std::string>> relay_models(const HttpClient& http, const RelayUpstreamAddress& upstream);

class RelayProgram final : public TextProgram {
 public:
  RelayProgram(std::shared_ptr<const Model> model, RelayUpstreamAddress upstream) : model_(std::move(model)), upstream_(std::move(upstream)) {}

  uint64_t memory_bytes() const override { return 0; }
  std::vector<std::string> notes() const override;
  bool alive() const override;
  TextTraits traits() const override { return {}; }
  Result<void> generate(const Request& request, Stream& stream, const StepControl& control) override;

 private:
  Result<Reply> ask(const Request& request, Stream& stream, const StepControl& control);
  Result<void> listen(std::string_view piece, SseReader& events, RelayAnswer& answer, Stream& stream, Reply& times, std::chrono::steady_clock::time_point called);

  std::shared_ptr<const Model> model_;
  const RelayUpstreamAddress upstream_;
  HttpClient http_;
  mutable std::mutex health_mutex_;
  mutable std::chrono::steady_clock::time_point checked_{};  // guarded by health_mutex_, as the next
  mutable bool healthy_ = true;
};

}  // namespace accelerate
