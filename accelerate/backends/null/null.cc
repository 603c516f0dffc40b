#include "accelerate/backends/null/null.h"

#include <mutex>

#include <fmt/format.h>

#include "accelerate/backends/null/null_decoder.h"
#include "accelerate/backends/null/null_encoder.h"
#include "accelerate/core/graph.h"

namespace accelerate {
namespace {

std::mutex script_mutex;
NullScript script_value;  // guarded by script_mutex

NullScript script_now() {
  std::lock_guard lock(script_mutex);
  return script_value;
}

class NullBackend final : public Backend {
 public:
  NullBackend() {
    about_.name = "null";
    about_.hardware = {"null"};
    about_.summary = "scripted answers and faults, for tests";
    about_.how_to_get = "tests link it; no binary has it";
  }

  const Descriptor& about() const override { return about_; }

  std::vector<Verdict> probe(Deadline) override {
    Verdict verdict{.state = Verdict::State::kAvailable, .hardware = "null", .evidence = "answers by a script"};
    verdict.devices.push_back({.kind = "null", .index = 0, .name = "scripted answers", .memory_bytes = 0, .features = {}});
    return {verdict};
  }

  Support supports(const Model&, const Device& device, const CompileOptions&) const override {
    if (device.kind == "null") return {.yes = true, .reason = "", .memory_bytes = 0, .memory = {}};
    return {.yes = false, .reason = fmt::format("[null] runs on null devices; got {}", to_string(device)), .memory_bytes = 0, .memory = {}};
  }

  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
    if (const Support support = supports(*model, device, options); !support.yes) return Error{ErrorCode::kInvalidArgument, support.reason};
    if (!progress.update("reading the script", 1, 1, "scripts")) return Error{ErrorCode::kCancelled, "[null] compiling was asked to stop"};
    NullScript script = script_now();
    if (options.slots != 0) script.slots = options.slots;
    if (options.context != 0) script.context = options.context;
    if (options.kv_tokens != 0) script.kv_tokens = options.kv_tokens;
    if (script.vocabulary == 0 && model->graph) script.vocabulary = model->graph->vocabulary;
    if (script.vocabulary == 0) script.vocabulary = model->config.vocabulary;
    if (script.vocabulary == 0) script.vocabulary = kNullVocabulary;
    const bool encoder = script.encoder || (model->graph && model->graph->vocabulary == 0);
    Compiled compiled;
    if (encoder) {
      compiled.program = std::make_unique<NullEncoder>(std::move(script));
    } else {
      compiled.program = std::make_unique<NullDecoder>(std::move(script));
    }
    compiled.report.push_back("scripted: computes nothing");
    return compiled;
  }

  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[null] a script leaves nothing on disk; compile again"};
  }

 private:
  Descriptor about_;
};

}  // namespace

void set_null_script(NullScript script) {
  std::lock_guard lock(script_mutex);
  script_value = std::move(script);
}

std::unique_ptr<Backend> make_null_backend(BackendContext&) { return std::make_unique<NullBackend>(); }

}  // namespace accelerate
