#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/own_worker.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/install_environment.h"
#include "accelerate/engine/near_match.h"

namespace accelerate {
namespace {

class InstallVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("NAME", names_, "Engines to install; without a name: what can be, and what is");
    app.add_flag("--force", force_, "Make the environment anew even if it is there");
    app.add_option("--python", python_, "Python that makes the environment")->type_name("PROGRAM")->capture_default_str();
    app.add_flag("--json", json_, "One JSON object");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    BackendContext context;
    for (const BackendFactory& factory : own_backends()) {
      const auto backend = factory.make(context);
      if (backend->about().install) known_.push_back(*backend->about().install);
    }
    if (names_.empty()) return list(console);
    Json done = Json::array();
    for (const std::string& name : names_) {
      ACC_TRY(const InstallRecipe recipe, find(name));
      if (force_ || !is_installed(recipe)) {
        console.say(fmt::format("installing {}: about {} on disk, through pip; licence: {}", name, format_bytes(recipe.disk_bytes), recipe.licence));
      }
      Result<InstalledEnvironment> made = [&] {
        ProgressLine progress(console);
        return install_environment(recipe, {.force = force_, .python = python_}, progress);
      }();
      if (!made) return made.error();
      if (json_) done.push_back({{"name", name}, {"python", made->python}, {"made", made->made}, {"seconds", made->seconds}});
      else if (!console.put(fmt::format("{} {}\n", made->python, made->made ? fmt::format("made in {:.0f} s", made->seconds) : "is there"))) return console.output_error();
    }
    if (!json_) return {};
    return console.put_json(dump_json(Json{{"installed", done}})) ? Result<void>() : console.output_error();
  }

 private:
  Result<InstallRecipe> find(const std::string& name) const {
    std::vector<std::string> names;
    for (const InstallRecipe& recipe : known_) {
      if (recipe.environment == name) return recipe;
      names.push_back(recipe.environment);
    }
    return Error{ErrorCode::kInvalidArgument, fmt::format("[install] what can be installed is {}; got '{}'{}; `devices` says how to get the others",
                                                          fmt::join(names, " "), printable(name), near_match_hint(name, names))};
  }
  Result<void> list(Console& console) const {
    Json rows = Json::array();
    std::string text;
    for (const InstallRecipe& recipe : known_) {
      const bool there = is_installed(recipe);
      rows.push_back({{"name", recipe.environment}, {"installed", there}, {"disk_bytes", recipe.disk_bytes}, {"licence", recipe.licence}});
      text += fmt::format("{:<8} {:<10} about {}; {}\n", recipe.environment, there ? "installed" : "absent", format_bytes(recipe.disk_bytes), recipe.licence);
    }
    return (json_ ? console.put_json(dump_json(Json{{"engines", rows}})) : console.put(text)) ? Result<void>() : console.output_error();
  }

  std::vector<std::string> names_;
  std::vector<InstallRecipe> known_;
  std::string python_ = "python3";
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_install_verb() { return std::make_unique<InstallVerb>(); }

}  // namespace accelerate
