#include "accelerate/engine/text_endpoint.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr std::chrono::milliseconds kCancelPoll{20};

class TextEndpoint final : public Endpoint {
 public:
  explicit TextEndpoint(TextEndpointParts parts) : program_(std::move(parts.program)), info_(std::move(parts.info)) {
    info_.kind = ProgramKind::kText;
    info_.chat = program_->traits().accepts == TextTraits::Accepts::kMessages;
    watcher_ = std::thread([this] { watch(); });
  }
  ~TextEndpoint() override {
    close();
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    watcher_.join();
  }

  const EndpointInfo& info() const override { return info_; }
  Result<std::shared_ptr<Stream>> generate(const Request& request) override;
  Result<EmbedReply> embed(std::span<const EmbedInput>, const std::atomic<bool>*) override { return others("embeddings"); }
  Result<std::vector<uint32_t>> tokenize(std::string_view, const TokenizeOptions&) const override { return others("tokens"); }
  Result<std::string> detokenize(std::span<const uint32_t>, const DetokenizeOptions&) const override { return others("tokens"); }
  Result<std::vector<std::string>> token_pieces(std::span<const uint32_t>) const override { return others("tokens"); }
  Result<std::string> apply_template(std::span<const Message>, const TemplateOptions&) const override { return others("the chat template"); }
  Result<std::vector<uint32_t>> tokenize_chat(std::span<const Message>, const TemplateOptions&) const override { return others("tokens"); }
  /// No canary: a token of somebody else's may cost money. The program asks whether the model is still offered.
  Result<void> check_health() override {
    if (program_->alive()) return {};
    return Error{ErrorCode::kUnavailable, fmt::format("[engine] whoever runs '{}' ({}) answers; got no sign of it; try later, the log says why", info_.name, info_.target)};
  }
  EndpointStats stats() const override {
    std::lock_guard lock(mutex_);
    EndpointStats stats = stats_;
    stats.running = static_cast<uint32_t>(jobs_.size());
    return stats;
  }
  void close() override {
    std::unique_lock lock(mutex_);
    closed_ = true;
    for (Job& job : jobs_) job.stream->cancel();
    changed_.notify_all();
    changed_.wait(lock, [this] { return jobs_.empty(); });
  }

 private:
  struct Job {
    std::shared_ptr<Stream> stream;
    std::atomic<bool> stop{false};
  };

  Error others(std::string_view what) const {
    return {ErrorCode::kUnimplemented, fmt::format("[engine] '{}' is run by {}, which keeps {} to itself; try a model that runs here", info_.name, info_.target, what)};
  }

  // Streams say that they are cancelled, programs look at a flag: this carries one to the other.
  void watch() {
    std::unique_lock lock(mutex_);
    while (!over_) {
      if (jobs_.empty()) changed_.wait(lock);
      else changed_.wait_for(lock, kCancelPoll);
      for (Job& job : jobs_) {
        if (job.stream->cancelled()) job.stop = true;
      }
    }
  }

  void run(const Request& request, std::list<Job>::iterator job) {
    const std::shared_ptr<Stream> stream = job->stream;
    const Result<void> ran = program_->generate(request, *stream, {.deadline = std::nullopt, .stop = &job->stop});
    Result<Reply> result = stream->result();
    if (!result && result.error().code == ErrorCode::kFailedPrecondition && !stream->done() && !ran) {
      stream->finish(ran.error());  // a program that failed before it began
      result = ran.error();
    }
    std::lock_guard lock(mutex_);
    count(result);
    jobs_.erase(job);
    changed_.notify_all();
  }

  void count(const Result<Reply>& result) {
    if (!result) {
      ++(result.error().code == ErrorCode::kCancelled ? stats_.cancelled : stats_.failed);
      return;
    }
    stats_.prompt_tokens += result->usage.prompt_tokens;
    stats_.completion_tokens += result->usage.completion_tokens;
    stats_.cached_tokens += result->usage.cached_tokens;
    if (result->finish_reason == FinishReason::kCancelled) ++stats_.cancelled;
    else ++stats_.finished[std::string(finish_reason_name(result->finish_reason))];
    if (result->ttft_ms > 0) stats_.ttft_s.observe(result->ttft_ms / 1e3);
    if (result->usage.completion_tokens > 1) stats_.tpot_s.observe(result->decode_ms / 1e3 / (result->usage.completion_tokens - 1));
  }

  std::unique_ptr<TextProgram> program_;
  EndpointInfo info_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Job> jobs_;   // guarded by mutex_, as the next four
  EndpointStats stats_;
  bool closed_ = false, over_ = false;
  std::thread watcher_;
};

Result<std::shared_ptr<Stream>> TextEndpoint::generate(const Request& request) {
  auto stream = std::make_shared<Stream>();
  std::lock_guard lock(mutex_);
  if (closed_) return Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' is being closed", info_.name)};
  if (jobs_.size() >= kTextRequestsMax) {
    ++stats_.rejected;
    return Error{ErrorCode::kResourceExhausted, fmt::format("[engine] at most {} requests to '{}' run at once; got one more; try later", kTextRequestsMax, info_.name)};
  }
  ++stats_.requests;
  jobs_.emplace_front();
  const auto job = jobs_.begin();
  job->stream = stream;
  try {
    // Detached: close() waits for it through jobs_.
    std::thread([this, request, job] { run(request, job); }).detach();
  } catch (const std::system_error& problem) {
    jobs_.erase(job);
    return Error{ErrorCode::kResourceExhausted, fmt::format("[engine] a request takes a thread; got {}", problem.what())};
  }
  changed_.notify_all();
  return stream;
}

}  // namespace

std::shared_ptr<Endpoint> make_text_endpoint(TextEndpointParts parts) {
  CHECK(parts.program != nullptr, "a text endpoint has a program");
  return std::make_shared<TextEndpoint>(std::move(parts));
}

Result<std::shared_ptr<Endpoint>> open_relay_endpoint(const RelayOpening& opening, Progress& progress) {
  for (const ProbedBackend& probed : opening.backends) {
    for (const Verdict& verdict : probed.verdicts) {
      for (const Device& device : verdict.devices) {
        const Support support = probed.backend->supports(*opening.model, device, opening.compile);
        if (!support.yes && support.code != ErrorCode::kUnimplemented && probed.backend->about().name == "relay") return Error{support.code, support.reason};
        if (!support.yes) continue;
        ACC_TRY(Compiled compiled, probed.backend->compile(opening.model, device, opening.compile, progress));
        if (compiled.program->kind() != ProgramKind::kText) continue;
        std::unique_ptr<TextProgram> program(static_cast<TextProgram*>(compiled.program.release()));
        const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
        EndpointInfo info{.name = opening.name, .path = opening.path, .family = "relay", .quantization = "unknown",
                          .target = probed.backend->about().name + "@" + opening.model->config.other.at("relay.name")};
        info.created_unix_s = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count());
        info.load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - opening.started).count();
        info.notes = program->notes();
        info.notes.insert(info.notes.end(), opening.notes.begin(), opening.notes.end());
        return make_text_endpoint({.program = std::move(program), .info = std::move(info)});
      }
    }
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[engine] models of upstreams take a backend for them; got none in this build for '{}'", opening.path)};
}

}  // namespace accelerate
