#include "accelerate/serve/find_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/serve/fields.h"

namespace accelerate {
namespace {

// The request is not at fault: the server's files, memory or engines are.
ApiError load_error(const Error& error) {
  ApiError refusal = api_error(error);
  return refusal.status < 500 ? api_error_of_status(503, error.message) : refusal;
}

}  // namespace

std::vector<ListedModel> served_models(const ModelSource& models) {
  std::vector<ListedModel> served;
  for (const RosterStatus& status : models.roster()) {
    served.push_back({.name = status.name, .created_unix_s = status.added_unix_s, .status = std::string(model_state_name(status.state))});
  }
  if (!served.empty()) return served;
  for (const auto& endpoint : models.list()) {
    served.push_back({.name = endpoint->info().name, .created_unix_s = static_cast<int64_t>(endpoint->info().created_unix_s), .status = ""});
  }
  return served;
}

Parsed<std::shared_ptr<Endpoint>> find_model(const ModelSource& models, const std::string& name) {
  Result<std::shared_ptr<Endpoint>> endpoint = models.find(name);
  if (endpoint) return *std::move(endpoint);
  const std::vector<ListedModel> served = served_models(models);
  const bool known = std::any_of(served.begin(), served.end(), [&](const ListedModel& model) { return model.name == name; });
  if (known) return load_error(endpoint.error());
  return no_such_model(models, name);
}

ApiError no_such_model(const ModelSource& models, std::string_view name) {
  std::string names;
  for (const ListedModel& model : served_models(models)) names += (names.empty() ? "" : ", ") + model.name;
  return {.status = 404,
          .message = fmt::format("[openai] 'model' names a model that is served here; got '{}'; try {}", name, names.empty() ? "again when one is loaded" : names),
          .param = "model",
          .code = "model_not_found"};
}

Parsed<std::shared_ptr<Endpoint>> find_model_or_only(const ModelSource& models, const std::string& name) {
  if (!name.empty()) return find_model(models, name);
  const std::vector<ListedModel> all = served_models(models);
  if (all.size() == 1) return find_model(models, all.front().name);
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
