// find_model - the endpoint a request names, or OpenAI's model_not_found.
//
//   Parsed<std::shared_ptr<Endpoint>> endpoint = find_model(models, name);
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "accelerate/serve/api_error.h"
#include "accelerate/serve/openai.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/server.h"

namespace accelerate {

/// What is served, loaded or not. Loads nothing. Thread-safe.
std::vector<ListedModel> served_models(const ModelSource& models);

/// OpenAI's model_not_found, a 404 that lists what is served.
ApiError no_such_model(const ModelSource& models, std::string_view name);

/// Loads it where it has to be. 404 listing what is served; the error of the load. Thread-safe.
Parsed<std::shared_ptr<Endpoint>> find_model(const ModelSource& models, const std::string& name);

/// The same; an empty name is the only model that is served, and a missing parameter where there are more.
Parsed<std::shared_ptr<Endpoint>> find_model_or_only(const ModelSource& models, const std::string& name);

/// The same for a route: the access log is told the model; null when the refusal was sent.
std::shared_ptr<Endpoint> find_model_for(const ModelSource& models, const std::string& name, const Responder& to);

}  // namespace accelerate
