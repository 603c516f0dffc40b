#include "accelerate/serve/server.h"

#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

constexpr std::chrono::milliseconds kSignalPollInterval{50};
constexpr std::chrono::seconds kStopGrace{5};  // running answers may end; a second signal does not wait

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
    app.add_option("MODEL", models_, "Paths or names; NAME=MODEL serves it as NAME")->required()->expected(1, 64);
    app.add_option("--host", options_.host, fmt::format("Address to listen on; default: {} (this machine only)", options_.host))
        ->type_name("ADDRESS");
    app.add_option("--port", options_.port, fmt::format("Port; default: {}; 0 = any free one", options_.port))->type_name("PORT");
    app.add_option("--api-key", options_.api_key, "Asked for as a bearer token; default: none")->type_name("KEY");
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
  }

  Result<void> run(Console& console) override {
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_.threads));
    for (const std::string& argument : models_) {
      const ServedModel model = split_name(argument);
      ACC_TRY(const std::shared_ptr<Endpoint> endpoint, open_endpoint(console, *engine, model.word, model.name, flags_));
      const EndpointInfo& info = endpoint->info();
      console.say(fmt::format("{}: {} {} on {}, {} tokens of context, {} of memory, loaded in {:.0f} ms", info.name, info.family,
                              info.quantization, info.target, info.context, format_bytes(info.memory_bytes), info.load_ms));
      for (const std::string& note : info.notes) console.note(fmt::format("{}: {}", info.name, note));
      if (signals_received() > 0) return Error{ErrorCode::kCancelled, "[serve] stopped by a signal before it listened"};
    }
    Server server(*engine, options_);
    ACC_TRY_VOID(server.start());
    console.say(fmt::format("listening on {}", server.url()));
    while (signals_received() == 0) std::this_thread::sleep_for(kSignalPollInterval);
    console.say("stopping; a second signal does not wait for running answers");
    server.stop(kStopGrace);
    return {};
  }

 private:
  std::vector<std::string> models_;
  ServeOptions options_;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_serve_verb() { return std::make_unique<ServeVerb>(); }

}  // namespace accelerate
