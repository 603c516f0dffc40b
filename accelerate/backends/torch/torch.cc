#include "accelerate/backends/torch/torch.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"
#include "accelerate/base/process.h"
#include "accelerate/base/sha256.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/core/graph.h"
#include "accelerate/wire/remote_program.h"
#include "torch_worker.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr auto kStartTime = std::chrono::seconds(60);        // of a Python process to its hello; torch is imported after it
constexpr uint32_t kSlots = 8;                               // each has a KV cache of its own, stepped one by one
constexpr uint32_t kContext = 4096;                          // tokens, where nothing is asked for: KV grows as it is used
constexpr uint64_t kRuntimeBytes = uint64_t{740} << 20;      // Python, torch and Transformers themselves: 735 MiB resident, measured; 410 of it private
constexpr uint64_t kKvTokensMax = uint64_t{1} << 32;
constexpr size_t kProbeFileBytesMax = 64 << 10;
constexpr uint64_t kDiskBytes = uint64_t{5600} << 20;        // torch 2.15.0 and what it brings, on Linux x86-64

std::string pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean: return "mean";
    case Pooling::kCls: return "cls";
    case Pooling::kLast: return "last";
    case Pooling::kNone: break;
  }
  return "none";
}

/// "f32", "bf16" or "f16" of any spelling; empty for others.
std::string dtype_word(const CompileOptions& options) {
  if (!options.quantization) return "f32";
  const std::optional<DType> type = dtype_from_name(*options.quantization);
  if (type == DType::kF32) return "f32";
  if (type == DType::kBF16) return "bf16";
  return type == DType::kF16 ? "f16" : "";
}

fs::path python() {
  const char* named = std::getenv(kTorchPythonVariable);
  return named && *named ? fs::path(named) : environment_python("torch");
}

// The worker's files, written once a release; the script's path.
Result<fs::path> worker_script() {
  const std::string all = std::string(embedded::torch_worker_py) + std::string(embedded::gguf_weights_py);
  const fs::path folder = cache_dir() / "workers" / ("torch-" + sha256_hex(all).substr(0, 16));
  for (const auto& [name, text] : {std::pair{"gguf_weights.py", embedded::gguf_weights_py}, std::pair{"torch_worker.py", embedded::torch_worker_py}}) {
    std::error_code none;
    if (fs::file_size(folder / name, none) != text.size()) ACC_TRY_VOID(write_file_atomically(folder / name, text));
  }
  return folder / "torch_worker.py";
}

// What a remembered probe is valid for: the environment, and whether a GPU's driver is there.
std::string probe_key(const fs::path& python, const fs::path& script) {
  std::error_code none;
  const auto time = fs::last_write_time(python.parent_path().parent_path() / "installed", none).time_since_epoch().count();
  return fmt::format("{} {} {} {}", python.string(), time, script.string(), fs::exists("/dev/nvidiactl", none) || fs::exists("/dev/kfd", none));
}

class TorchBackend final : public Backend {
 public:
  explicit TorchBackend(BackendContext& context) : context_(context) {
    about_.name = "torch";
    about_.hardware = {"torch"};
    about_.summary = "Hugging Face Transformers on PyTorch, eager, in a Python worker";
    about_.needs = {"Python 3.10 or newer with torch and transformers"};
    about_.how_to_get = "ipfs-accelerate install torch";
    about_.separate = true;
    about_.install = InstallRecipe{.environment = "torch", .requirements = std::string(embedded::requirements_txt), .disk_bytes = kDiskBytes,
                                   .licence = "torch BSD-3-Clause, transformers Apache-2.0; NVIDIA's CUDA libraries come along under their own licence"};
  }
  const Descriptor& about() const override { return about_; }
  std::vector<Verdict> probe(Deadline deadline) override;
  Support supports(const Model& model, const Device& device, const CompileOptions& options) const override;
  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override;
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[torch] compiling leaves nothing on disk that could be loaded; compile the model"};
  }

 private:
  BackendContext& context_;
  Descriptor about_;
};

std::vector<Verdict> TorchBackend::probe(Deadline deadline) {
  Verdict verdict{.hardware = "torch", .how_to_get = about_.how_to_get};
  const fs::path interpreter = python();
  std::error_code none;
  if (!fs::exists(interpreter, none)) {
    verdict.reason = fmt::format("no Python environment with torch at {}", interpreter.string());
    return {verdict};
  }
  const Result<fs::path> script = worker_script();
  if (!script) {
    verdict.state = Verdict::State::kBroken;
    verdict.reason = script.error().message;
    return {verdict};
  }
  const std::string key = probe_key(interpreter, *script);
  const fs::path remembered = cache_dir() / "workers" / "torch-probe";
  if (const auto text = read_file(remembered, kProbeFileBytesMax); text && text->starts_with(key + "\n")) return {torch_verdict(text->substr(key.size() + 1))};
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  const Result<ProcessOutput> output = run_process({interpreter.string(), script->string(), "--probe"}, {.timeout = left});
  if (!output || output->exit_code != 0) {
    verdict.state = Verdict::State::kBroken;
    verdict.reason = output ? fmt::format("torch failed in a child (exit {}): {}", output->exit_code, output->error.substr(0, 300)) : output.error().message;
    return {verdict};
  }
  verdict = torch_verdict(output->out);
  if (verdict.state == Verdict::State::kAvailable) {
    if (const auto kept = write_file_atomically(remembered, key + "\n" + output->out); !kept) log_warning(kept.error().message);
  }
  return {verdict};
}

Support TorchBackend::supports(const Model& model, const Device& device, const CompileOptions& options) const {
  const auto no = [](std::string reason, ErrorCode code = ErrorCode::kUnimplemented) {
    return Support{.yes = false, .reason = "[torch] " + std::move(reason), .code = code, .memory_bytes = 0, .memory = {}};
  };
  if (!model.graph) return no(fmt::format("needs a graph of the model; got none for architecture '{}'", model.config.architecture));
  if (options.deterministic) return no("promises no bits that are independent of the batch; try hardware cpu");
  const bool gguf = model.format.starts_with("gguf");
  if (gguf && model.config.architecture != "llama" && model.config.architecture != "gemma3") {
    return no(fmt::format("reads GGUF files of llama and gemma3; got '{}'; try the safetensors folder", model.config.architecture));
  }
  const std::string dtype = dtype_word(options);
  if (dtype.empty()) return no(fmt::format("runs weights as f32, bf16 or f16; got quantization '{}'", *options.quantization));
  if (options.precision == Precision::kExact && dtype != "f32") return no("is exact in f32 only");
  if (device.kind == "cpu" && dtype == "f16") return no("f16 on a CPU is slower than f32 and overflows; try bf16");
  const bool decoder = model.graph->vocabulary != 0;
  const uint64_t bytes = dtype == "f32" ? 4 : 2;
  const uint64_t context = options.context ? options.context : std::min(model.config.context, kContext);
  if (model.config.context != 0 && context > model.config.context) {
    return no(fmt::format("the model takes {} tokens; got {}", model.config.context, context), ErrorCode::kOutOfRange);
  }
  if (options.slots > limits::kSlotsMax || options.threads > ThreadPool::kThreadsMax) {
    return no(fmt::format("takes at most {} slots and {} threads; got {} and {}", limits::kSlotsMax, ThreadPool::kThreadsMax, options.slots, options.threads), ErrorCode::kOutOfRange);
  }
  MemoryEstimate memory{.weights = model.parameter_count() * bytes, .kv = 0, .buffers = kRuntimeBytes};
  if (decoder) {
    const uint64_t width = uint64_t{model.config.kv_heads} * (model.config.head_width ? model.config.head_width : model.config.width / std::max(model.config.heads, 1u));
    const uint64_t tokens = options.kv_tokens ? options.kv_tokens : context * (options.slots ? options.slots : kSlots);
    if (tokens > kKvTokensMax) return no(fmt::format("keeps at most {} tokens of KV; got {}", kKvTokensMax, tokens), ErrorCode::kOutOfRange);
    memory.kv = 2 * uint64_t{model.config.layers} * width * bytes * tokens;
  }
  uint64_t budget = options.memory_bytes ? options.memory_bytes : context_.memory_bytes;
  if (budget == 0) budget = device.kind == "cpu" ? cpu_info().memory_bytes : device.memory_bytes;
  if (budget != 0 && memory.total() > budget) {
    return no(fmt::format("takes about {} bytes; the budget leaves {}", memory.total(), budget), ErrorCode::kResourceExhausted);
  }
  return {.yes = true, .reason = "", .memory_bytes = memory.total(), .memory = memory};
}

Result<Compiled> TorchBackend::compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) {
  CHECK(model, "a model to compile");
  if (const Support support = supports(*model, device, options); !support.yes) return Error{support.code, support.reason};
  ACC_TRY(const fs::path script, worker_script());
  const uint32_t threads = options.threads ? options.threads : std::max(context_.threads, 1u);
  ACC_TRY(std::unique_ptr<Worker> worker,
          context_.workers->start({.name = "torch@" + to_string(device), .argv = {python().string(), "-u", script.string()},
                                   .environment = {fmt::format("OMP_NUM_THREADS={}", threads)}}, std::chrono::steady_clock::now() + kStartTime));
  const bool decoder = model->graph->vocabulary != 0;
  WireMessage load("load");
  load.set_text("model", fs::absolute(model->path).string()).set_text("kind", decoder ? "decoder" : "encoder").set_text("dtype", dtype_word(options));
  load.set_text("device", device.kind == "cpu" ? "cpu" : to_string(device)).set("threads", threads);
  load.set("kv_tokens", options.kv_tokens);
  load.set("context", options.context ? options.context : std::min(model->config.context, kContext)).set("slots", options.slots ? options.slots : kSlots);
  load.set_text("pooling", pooling_name(model->pooling)).set_flag("normalize", model->normalize_embeddings);
  load.set("tokens_max", model->embedding_tokens_max ? model->embedding_tokens_max : model->config.context);
  load.set("labels", model->config.labels).set("width", model->config.labels ? 0 : model->config.width);
  ACC_TRY(Compiled compiled, load_remote(std::move(worker), std::move(load), progress));
  if (model->format.starts_with("gguf")) compiled.report.push_back("torch dequantized the file's weights exactly; its size in memory is not the file's");
  return compiled;
}

Result<uint64_t> whole(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return Error{ErrorCode::kDataLoss, fmt::format("no number '{}'", key)};
  return found->get<uint64_t>();
}
Result<std::string> text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return Error{ErrorCode::kDataLoss, fmt::format("no text '{}'", key)};
  return found->get<std::string>();
}

Result<Verdict> read_verdict(std::string_view printed) {
  ACC_TRY(const Json json, parse_json(printed, {.where = "torch", .bytes_max = kProbeFileBytesMax, .depth_max = 8}));
  Verdict verdict{.state = Verdict::State::kAvailable, .hardware = "torch"};
  ACC_TRY(const std::string torch, text(json, "torch"));
  ACC_TRY(const std::string transformers, text(json, "transformers"));
  ACC_TRY(const std::string rocm, text(json, "rocm"));
  verdict.version = fmt::format("torch {} transformers {}{}", torch, transformers, rocm.empty() ? "" : " rocm " + rocm);
  verdict.evidence = "torch multiplied matrices on each device, in a child";
  const auto devices = json.find("devices");
  if (devices == json.end() || !devices->is_array() || devices->empty()) return Error{ErrorCode::kDataLoss, "no device works"};
  for (const Json& one : *devices) {
    Device device;
    ACC_TRY(device.kind, text(one, "kind"));
    ACC_TRY(device.name, text(one, "name"));
    ACC_TRY(const uint64_t index, whole(one, "index"));
    ACC_TRY(device.memory_bytes, whole(one, "memory_bytes"));
    device.index = static_cast<uint32_t>(index);
    verdict.devices.push_back(std::move(device));
  }
  return verdict;
}

}  // namespace

Verdict torch_verdict(std::string_view printed) {
  Result<Verdict> verdict = read_verdict(printed);
  if (verdict) return *std::move(verdict);
  return {.state = Verdict::State::kBroken, .hardware = "torch", .devices = {}, .version = {}, .evidence = {},
          .reason = "the probe printed something else: " + verdict.error().message, .how_to_get = "ipfs-accelerate install torch --force"};
}

std::unique_ptr<Backend> make_torch_backend(BackendContext& context) { return std::make_unique<TorchBackend>(context); }

}  // namespace accelerate
