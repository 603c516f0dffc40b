// A storm of faults over the real cpu backend: two Targets that die in mid-step, die behind their rows, hang, give NaN, die while nobody
// asks, start slowly, lack memory or do not start, at random. Every answer must be the one of a program without faults, bit for bit.
//
// IPFS_ACCELERATE_STORM says how many requests (1000; 100 with plain kernels, whose steps are 30 times as long).

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "accelerate/engine/engine.h"
#include "tests/conformance/harness.h"
#include "tests/engine/faulty_backends.h"

namespace accelerate {
std::unique_ptr<Backend> make_cpu_backend(BackendContext& context);
}

namespace accelerate::conformance {
namespace {

using namespace std::chrono_literals;

constexpr auto kHang = 250ms;         // a longer step is a hang: real ones of the fixture take a few, on a loaded machine tens
constexpr int kStepsPerFault = 20;

enum class Fault : uint8_t { kDeath, kLateDeath, kHang, kNan, kIdleDeath, kSlowStart, kNoMemory, kNoStart };
constexpr int kFaults = 8;

// What the storm does next; shared by all programs and starts.
struct Weather {
  std::mutex mutex;
  std::mt19937 random{7};
  bool calm = true;
  std::map<Fault, int> faults;

  std::optional<Fault> draw(int one_in, Fault first, Fault last) {
    std::lock_guard lock(mutex);
    if (calm || random() % static_cast<unsigned>(one_in) != 0) return std::nullopt;
    const int count = static_cast<int>(last) - static_cast<int>(first) + 1;
    const auto fault = static_cast<Fault>(static_cast<int>(first) + static_cast<int>(random() % static_cast<unsigned>(count)));
    ++faults[fault];
    return fault;
  }
};
Weather& weather() {
  static Weather one;
  return one;
}

struct SpoiledSink final : LogitsSink {
  explicit SpoiledSink(LogitsSink& sink) : to(sink) {}
  void row(size_t input, size_t token, std::span<const float> logits) override {
    std::vector<float> copy(logits.begin(), logits.end());
    copy[copy.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    to.row(input, token, copy);
  }
  LogitsSink& to;
};

class StormDecoder final : public PassThroughDecoder {
 public:
  using PassThroughDecoder::PassThroughDecoder;
  bool alive() const override { return !dead_; }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    if (dead_) return Error{ErrorCode::kUnavailable, "[storm] dead"};
    const std::optional<Fault> fault = weather().draw(kStepsPerFault, Fault::kDeath, Fault::kIdleDeath);
    if (!fault) return inner_->step(inputs, statuses, sink, control);
    if (*fault == Fault::kNan) {
      SpoiledSink spoiled(sink);
      return inner_->step(inputs, statuses, spoiled, control);
    }
    if (*fault == Fault::kHang) {
      while (!control.should_stop()) std::this_thread::sleep_for(1ms);
    } else if (*fault != Fault::kDeath) {
      ACC_TRY_VOID(inner_->step(inputs, statuses, sink, control));
    }
    dead_ = true;
    if (*fault == Fault::kIdleDeath) return {};  // this step was whole; the next one, or the watch, finds it gone
    return Error{*fault == Fault::kHang ? ErrorCode::kDeadlineExceeded : ErrorCode::kUnavailable, "[storm] gone"};
  }

 private:
  std::atomic<bool> dead_{false};
};

// The cpu backend under another name.
class StormBackend final : public Backend {
 public:
  StormBackend(BackendContext& context, std::string name) : inner_(make_cpu_backend(context)), about_(inner_->about()) { about_.name = std::move(name); }
  const Descriptor& about() const override { return about_; }
  std::vector<Verdict> probe(Deadline deadline) override { return inner_->probe(deadline); }
  Support supports(const Model& model, const Device& device, const CompileOptions& options) const override { return inner_->supports(model, device, options); }
  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
    const std::optional<Fault> fault = weather().draw(3, Fault::kSlowStart, Fault::kNoStart);
    if (fault == Fault::kSlowStart) std::this_thread::sleep_for(150ms);
    if (fault == Fault::kNoMemory) return Error{ErrorCode::kResourceExhausted, "[storm] no memory"};
    if (fault == Fault::kNoStart) return Error{ErrorCode::kUnavailable, "[storm] does not start"};
    ACC_TRY(Compiled compiled, inner_->compile(std::move(model), device, options, progress));
    compiled.program = std::make_unique<StormDecoder>(std::unique_ptr<DecoderProgram>(static_cast<DecoderProgram*>(compiled.program.release())));
    return compiled;
  }
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[storm] nothing to load"};
  }

 private:
  std::unique_ptr<Backend> inner_;
  Descriptor about_;
};

Request request(uint32_t index) {
  std::mt19937 random(index);
  std::vector<uint32_t> prompt(3 + index % 40);
  for (uint32_t& token : prompt) token = 10 + random() % 200;
  return {.text = {}, .tokens = std::move(prompt), .sampling = {.temperature = index % 2 ? 0.8f : 0.0f, .logit_bias = {}, .seed = index},
          .max_tokens = 8 + index % 17, .stop = {}, .ignore_end = true};
}

Result<std::vector<uint32_t>> answer(Endpoint& endpoint, uint32_t index) {
  ACC_TRY(const std::shared_ptr<Stream> stream, endpoint.generate(request(index)));
  std::vector<uint32_t> tokens;
  while (!stream->done()) {
    if (const auto part = stream->next(30s)) tokens.insert(tokens.end(), part->tokens.begin(), part->tokens.end());
  }
  ACC_TRY_VOID(stream->result());
  return tokens;
}

TEST(Storm, EveryAnswerIsTheFaultFreeOne) {
  const char* asked = std::getenv("IPFS_ACCELERATE_STORM");
  const auto count = static_cast<uint32_t>(asked != nullptr ? std::atoi(asked) : is_portable() ? 100 : 1000);
  OpenOptions options;
  options.compile = {.deterministic = true, .context = 128, .kv_tokens = 1024, .slots = 8};
  options.parity = ParityMode::kOff;
  options.limits.breaker = {.backoff_first = 2ms, .backoff_max = 20ms, .starts_max = 1'000'000, .healthy_after = 100ms};
  options.limits.moves_max = 1000;
  options.limits.step_max = is_portable() ? 8 * kHang : kHang;
  options.limits.watch_period = 5ms;
  const auto open = [&](std::vector<BackendFactory> backends) {
    auto engine = std::move(*Engine::create({.backends = std::move(backends)}));
    auto endpoint = engine->open(fixture_path("llama_q8_0.gguf").string(), options, no_progress());
    if (!endpoint) throw std::runtime_error(to_string(endpoint.error()));
    return std::pair(std::move(engine), *std::move(endpoint));
  };
  std::vector<std::vector<uint32_t>> expected(count);
  {
    const auto [engine, calm] = open({{"cpu", &make_cpu_backend}});
    for (uint32_t i = 0; i < count; ++i) expected[i] = *answer(*calm, i);
  }
  const auto [engine, endpoint] = open({{"storm-a", [](BackendContext& c) -> std::unique_ptr<Backend> { return std::make_unique<StormBackend>(c, "storm-a"); }},
                                        {"storm-b", [](BackendContext& c) -> std::unique_ptr<Backend> { return std::make_unique<StormBackend>(c, "storm-b"); }}});
  weather().calm = false;
  std::atomic<uint32_t> next{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&, endpoint = endpoint] {
      for (uint32_t i; (i = next++) < count;) {
        const auto got = answer(*endpoint, i);
        if (got) {
          EXPECT_EQ(*got, expected[i]) << i;
        } else {
          ADD_FAILURE() << i << ": " << to_string(got.error());
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  int faults = 0;
  {
    std::lock_guard lock(weather().mutex);
    weather().calm = true;
    for (const auto& [fault, times] : weather().faults) faults += times;
    if (count >= 1000) {
      EXPECT_EQ(weather().faults.size(), static_cast<size_t>(kFaults)) << "every kind came";
    }
  }
  const EndpointStats stats = endpoint->stats();
  EXPECT_EQ(stats.failed, 0u);
  EXPECT_GT(stats.answers_moved, 0u);
  std::printf("  %u answers under %d faults, %llu of them moved\n", count, faults, static_cast<unsigned long long>(stats.answers_moved));
}

}  // namespace
}  // namespace accelerate::conformance
