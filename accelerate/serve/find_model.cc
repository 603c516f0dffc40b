#include "accelerate/serve/find_model.h"

#include <fmt/format.h>

#include "accelerate/serve/fields.h"

namespace accelerate {

Parsed<std::shared_ptr<Endpoint>> find_model(const ModelSource& models, const std::string& name) {
  if (std::shared_ptr<Endpoint> endpoint = models.find(name)) return endpoint;
  std::string names;
  for (const auto& endpoint : models.list()) names += (names.empty() ? "" : ", ") + endpoint->info().name;
  return ApiError{.status = 404,
                  .message = fmt::format("[openai] 'model' names a model that is served here; got '{}'; try {}",
                                         name, names.empty() ? "again when one is loaded" : names),
                  .param = "model",
                  .code = "model_not_found"};
}

Parsed<std::shared_ptr<Endpoint>> find_model_or_only(const ModelSource& models, const std::string& name) {
  if (!name.empty()) return find_model(models, name);
  const std::vector<std::shared_ptr<Endpoint>> all = models.list();
  if (all.size() == 1) return all.front();
  return missing_parameter("model");
}

std::shared_ptr<Endpoint> find_model_for(const ModelSource& models, const std::string& name, const Responder& to) {
  Parsed<std::shared_ptr<Endpoint>> endpoint = find_model_or_only(models, name);
  if (!endpoint.ok()) {
    to.fail(endpoint.error());
    return nullptr;
  }
  to.note_model((*endpoint)->info());
  return *endpoint;
}

}  // namespace accelerate
