#include "accelerate/serve/server.h"

#include <algorithm>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/serve_flags.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

constexpr std::chrono::milliseconds kSignalPollInterval{50};
constexpr double kMeasureSeconds = 10;  // once for a model, machine and version, before a server that may run for months

struct ServedModel {
  std::string name, word;  // name empty = the engine's choice
};

/// "NAME=path"; a path that exists is a path even with a '=' inside.
ServedModel split_name(const std::string& argument) {
  std::error_code error;
  const size_t equals = argument.find('=');
  if (equals == std::string::npos || std::filesystem::exists(argument, error)) return {"", argument};
  return {argument.substr(0, equals), argument.substr(equals + 1)};
}

class ServeVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", models_, "Paths or names (hf:org/repo, relay:NAME/model); NAME=MODEL serves it as NAME")->required()->expected(1, 64);
    add_serve_flags(app, serve_flags_);
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
    add_relay_flags(app, flags_);
    add_together_flag(app, flags_);
    add_choice_flags(app, flags_.choice);
    flags_.choice.measure_s = kMeasureSeconds;
    add_measure_flag(app, flags_.choice);
  }

  Result<void> run(Console& console) override {
    ACC_TRY(const ServeOptions options, serve_options(console, serve_flags_));
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    ModelRoster roster(*engine, {.idle_unload = std::chrono::seconds(serve_flags_.idle_unload_seconds), .evict = serve_flags_.on_demand});
    ACC_TRY(const OpenOptions open, open_options(flags_));
    Server server(models_of(roster, {.engine = engine.get(), .roster = &roster, .open = open}), options);
    ACC_TRY_VOID(server.prepare());
    ACC_TRY_VOID(add_models(console, roster, open));
    ACC_TRY_VOID(server.start());
    exit_at_signal(3);  // the second one cuts answers off
    console.say(fmt::format("listening on {}", server.url()));
    while (signals_received() == 0) std::this_thread::sleep_for(kSignalPollInterval);
    console.say("stopping; a second signal does not wait for running answers");
    server.stop(std::chrono::seconds(serve_flags_.drain_seconds), [] { return signals_received() > 1; });
    return {};
  }

 private:
  // All names are known before the first is loaded.
  Result<void> add_models(Console& console, ModelRoster& roster, const OpenOptions& open) {
    std::vector<std::string> names, unknown = serve_flags_.pinned;
    for (const std::string& argument : models_) {
      const ServedModel model = split_name(argument);
      ACC_TRY_VOID(ensure_pulled(console, model.word, flags_));
      ACC_TRY(names.emplace_back(), roster.add({.name = model.name, .word = model.word, .open = open}));
      if (std::erase(unknown, names.back()) > 0) ACC_TRY_VOID(roster.pin(names.back(), true));
    }
    if (!unknown.empty()) return Error{ErrorCode::kInvalidArgument, fmt::format("[serve] --pin takes names of models that are served; got '{}'; try {}", unknown.front(), names.front())};
    for (const std::string& name : names) {
      const bool pinned = std::find(serve_flags_.pinned.begin(), serve_flags_.pinned.end(), name) != serve_flags_.pinned.end();
      if (serve_flags_.on_demand && !pinned) {
        console.say(fmt::format("{}: loaded when it is asked for", name));
        continue;
      }
      ProgressLine progress(console);
      ACC_TRY_VOID(roster.load(name, progress));
      if (const std::shared_ptr<Endpoint> endpoint = loaded(roster, name)) say_loaded(console, endpoint->info());
      if (signals_received() > 0) return Error{ErrorCode::kCancelled, "[serve] stopped by a signal before it listened"};
    }
    return {};
  }

  static std::shared_ptr<Endpoint> loaded(const ModelRoster& roster, const std::string& name) {
    for (const RosterStatus& status : roster.list()) {
      if (status.name == name) return status.endpoint;
    }
    return nullptr;
  }

  static void say_loaded(Console& console, const EndpointInfo& info) {
    if (info.kind == ProgramKind::kText) {
      console.say(fmt::format("{}: {}, reached in {:.0f} ms", info.name, info.target, info.load_ms));
    } else {
      console.say(fmt::format("{}: {} {} on {}, {} tokens of context, {} of memory, loaded in {:.0f} ms", info.name, info.family,
                              info.quantization, info.target, info.context, format_bytes(info.memory_bytes), info.load_ms));
    }
    for (const std::string& note : info.notes) console.note(fmt::format("{}: {}", info.name, note));
  }

  std::vector<std::string> models_;
  ServeFlags serve_flags_;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_serve_verb() { return std::make_unique<ServeVerb>(); }

}  // namespace accelerate
