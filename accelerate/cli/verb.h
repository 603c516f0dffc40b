// Verb - one word of the command line: its options, its examples, what it does. One file per verb, one line in verbs.cc.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/cli/console.h"

namespace CLI {
class App;
}

namespace accelerate {

class Verb {
 public:
  virtual ~Verb() = default;
  /// Adds options that write into this object. `app` lives as long as the verb.
  virtual void declare(CLI::App& app) = 0;
  /// Runs with the options filled. An Error becomes "error: ..." and its code's exit code.
  virtual Result<void> run(Console& console) = 0;
  /// Whether --json was given: then errors are also one JSON object on stdout.
  virtual bool json() const { return false; }
};

struct VerbEntry {
  std::string_view name, summary;
  std::string_view examples;  // lines of commands, shown by --help
  std::unique_ptr<Verb> (*make)();
};
/// In the order of --help.
std::span<const VerbEntry> verbs();

std::unique_ptr<Verb> make_run_verb();
std::unique_ptr<Verb> make_serve_verb();
std::unique_ptr<Verb> make_endpoints_verb();
std::unique_ptr<Verb> make_embed_verb();
std::unique_ptr<Verb> make_tokenize_verb();
std::unique_ptr<Verb> make_models_verb();
std::unique_ptr<Verb> make_pull_verb();
std::unique_ptr<Verb> make_install_verb();
std::unique_ptr<Verb> make_quantize_verb();
std::unique_ptr<Verb> make_compile_verb();
std::unique_ptr<Verb> make_cache_verb();
std::unique_ptr<Verb> make_bench_verb();
std::unique_ptr<Verb> make_plan_verb();
std::unique_ptr<Verb> make_matrix_verb();
std::unique_ptr<Verb> make_devices_verb();
std::unique_ptr<Verb> make_completion_verb();

}  // namespace accelerate
