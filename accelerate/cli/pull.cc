#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

class PullVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("NAME", names_, "Names of the catalog, see `models`, or hf:org/repo[@revision][:file]")->required();
    app.add_flag("--json", json_, "One JSON object with the paths");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    Json pulled = Json::array();
    for (const std::string& name : names_) {
      const auto entry = std::find_if(catalog().begin(), catalog().end(), [&](const CatalogEntry& e) { return e.alias == name; });
      if (entry != catalog().end() && !locate_model(name)) console.say(fmt::format("fetching {}", describe_pull(*entry)));
      Result<std::string> path = [&] {
        ProgressLine progress(console);
        return pull_model(name, progress);
      }();
      if (!path) return path.error();
      if (json_) pulled.push_back({{"name", name}, {"path", *path}});
      else if (!console.put(*path + "\n")) return console.output_error();
    }
    if (!json_) return {};
    return console.put_json(dump_json(Json{{"pulled", pulled}})) ? Result<void>() : console.output_error();
  }

 private:
  std::vector<std::string> names_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_pull_verb() { return std::make_unique<PullVerb>(); }

}  // namespace accelerate
