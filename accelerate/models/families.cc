#include "accelerate/models/families.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/log.h"
#include "accelerate/models/builder.h"
#include "accelerate/models/family_list.h"

namespace accelerate {
namespace {

struct Family {
  std::string_view architecture;  // GGUF's general.architecture or Hugging Face's model_type
  std::string_view family;
  Result<Graph> (*build)(const Model&, GraphNotes*);
};
constexpr Family kFamilies[] = {
    {"bert", "bert", &build_bert},
    {"gemma3", "gemma", &build_gemma},
    {"gemma3_text", "gemma", &build_gemma},
    {"llama", "llama", &build_llama},
    {"mistral", "llama", &build_llama},
};

const Family* find(std::string_view architecture) {
  const auto* const found = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                         [&](const Family& family) { return family.architecture == architecture; });
  return found == std::end(kFamilies) ? nullptr : found;
}

}  // namespace

Result<Graph> build_graph(const Model& model, GraphNotes* notes) {
  const std::string& architecture = model.config.architecture;
  const Family* family = find(architecture);
  if (!family) {
    return Error{ErrorCode::kUnimplemented, fmt::format("[models] architectures served are {}; got '{}'; try a model of one of these",
                                                        known_architectures(), shown(architecture))};
  }
  return family->build(model, notes);
}

Result<void> add_graph(Model& model) {
  GraphNotes notes;
  ACC_TRY(Graph graph, build_graph(model, &notes));
  for (const std::string& ignored : notes.ignored) log_info("left out: " + ignored);
  model.graph = std::make_shared<const Graph>(std::move(graph));
  return {};
}

std::string family_of(const std::string& architecture) {
  const Family* family = find(architecture);
  return family ? std::string(family->family) : std::string();
}

std::string known_architectures() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace accelerate
