// Backend - a way of running models: names itself, probes, refuses with a reason, or compiles. The only thing through
// which the engine and the engines' folders meet.
//
//   auto backend = make_cpu_backend(context);
//   if (Support s = backend->supports(model, device, options); !s.yes) explain(s.reason);
//   ACC_TRY(Compiled compiled, backend->compile(model, device, options, progress));
//
// Thread-safe, lives as long as the process, throws nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/limits.h"
#include "accelerate/base/result.h"
#include "accelerate/core/device.h"
#include "accelerate/core/model.h"
#include "accelerate/core/program.h"
#include "accelerate/core/worker.h"

namespace accelerate {

/// Receives progress of long work; may be called from any thread; returns false to ask for a stop.
class Progress {
 public:
  virtual ~Progress() = default;
  /// `done` of `total` in `unit` ("bytes", "tensors"); total 0 = unknown.
  virtual bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) = 0;
};
/// Ignores everything, never stops.
Progress& no_progress();

/// A Backend on a Device: "cpu@cpu:0".
struct Target {
  std::string backend;
  Device device;
};
std::string to_string(const Target& target);

/// What was found about one hardware name.
struct Verdict {
  enum class State : uint8_t { kAvailable, kBroken, kAbsent } state = State::kAbsent;
  std::string hardware;             // "cpu", "max" ...
  std::vector<Device> devices;
  std::string version;              // of the engine
  std::string evidence;             // what was run or found
  std::string reason;               // why not, for broken and absent
  std::string how_to_get;           // what the user can do about it
};
std::string_view verdict_state_name(Verdict::State state);

/// Bytes a Program will hold, estimated before loading.
struct MemoryEstimate {
  uint64_t weights = 0, kv = 0, buffers = 0;
  uint64_t total() const { return weights + kv + buffers; }
};

struct Support {
  bool yes = false;
  std::string reason;          // for a no: names the missing part
  ErrorCode code = ErrorCode::kUnavailable;  // of a no, as an error would have it: out_of_range, resource_exhausted ...
  uint64_t memory_bytes = 0;   // for a yes: memory.total()
  MemoryEstimate memory;       // its parts, where the backend knows them
};

/// A Python environment that `ipfs-accelerate install NAME` makes for a backend.
struct InstallRecipe {
  std::string environment;    // its folder in the cache: base/paths.h, environment_python()
  std::string requirements;   // pinned, as pip reads them
  uint64_t disk_bytes = 0;    // about, with what the packages bring along; shown before
  std::string licence;        // of what is installed, shown before
};

/// Plain data read by CLI, API, docs and tests.
struct Descriptor {
  std::string name;                     // "cpu"
  std::vector<std::string> hardware;    // names served, "cpu"
  std::string summary;                  // one line
  std::vector<std::string> needs;       // what must be there
  std::string how_to_get;
  std::optional<InstallRecipe> install{};
  bool separate = false;                // its programs run outside this process as it is: isolating them would add nothing
  bool levels = false;                  // CompileOptions::level changes what compile() makes
  bool artifacts = false;               // compile() leaves one where CompileOptions::artifact_dir says, and load() takes it
};

enum class Precision : uint8_t {
  kDefault,  // what the backend finds fastest within the parity gate's bounds; notes() says what
  kExact,    // float32 activations and KV: the reference of the parity gate
};

struct CompileOptions {
  std::optional<std::string> quantization;  // nothing = the file's own
  Precision precision = Precision::kDefault;
  bool deterministic = false;               // a token's logits depend on its sequence alone, bit for bit, not on batch, chunking or reuse
  int level = 1;                            // 0..3
  uint32_t threads = 0;                     // 0 = the granted budget
  uint32_t context = 0;                     // tokens a sequence may have; 0 = the model's, as far as memory allows
  uint64_t kv_tokens = 0;                   // tokens of KV shared by all slots; 0 = one context or the default, see notes()
  uint32_t slots = 0;                       // 0 = default
  uint64_t memory_bytes = 0;                // the program may take; 0 = BackendContext::memory_bytes
  std::string artifact_dir = {};            // an empty folder for the artifact, of compile() only; empty = none is wanted
};

struct Compiled {
  std::unique_ptr<Program> program;
  std::optional<Artifact> artifact;
  std::vector<std::string> report;  // what was done, for people
};

/// What the process may use; handed to every backend.
struct BackendContext {
  uint32_t threads = 1;           // usable quota
  uint64_t memory_bytes = 0;      // budget; 0 = the machine's limit
  std::string cache_dir;          // for what a backend keeps of its own; artifacts go to CompileOptions::artifact_dir
  WorkerSource* workers = &no_workers();  // never null; not owned
  /// A backend calls it, on any thread, when its devices came or went: the engine probes again before its next plan.
  std::function<void()> changed = [] {};
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const Descriptor& about() const = 0;
  /// One verdict per hardware name served; risky parts run in a child process with the deadline.
  virtual std::vector<Verdict> probe(Deadline deadline) = 0;
  virtual Support supports(const Model& model, const Device& device, const CompileOptions& options) const = 0;
  /// The Program keeps `model` alive. cancelled when `progress` asked for a stop. What it leaves in options.artifact_dir is
  /// named by Compiled::artifact, whose path lies in there; that it can not be written (a full disk) is a line of the report, no
  /// error. The folder moves or goes once compile() is back: a Program keeps files open or mapped, not their paths.
  virtual Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options,
                                   Progress& progress) = 0;
  /// What compile() left for the same model, device, versions and options; of these only memory_bytes may have changed since, so
  /// what memory decides is decided here. The artifact stays in its place, unchanged, while the Program lives. unimplemented
  /// where compile leaves no artifact (Descriptor::artifacts).
  virtual Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model> model, const Artifact& artifact, const Device& device,
                                                const CompileOptions& options, Progress& progress) = 0;
};

}  // namespace accelerate
