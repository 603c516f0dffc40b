// The routes under /v1/admin/endpoints: the models of a server added, loaded, unloaded, pinned, switched and removed while it serves.
//
//   add_endpoint_route(admin, request.body, to);                 // answers when the model is served
//   endpoint_action_route(admin, "smollm2", "switch", request.body, to);
//
// A load ends when its client leaves. What is unloaded or removed has kUnloadDrain for the requests under way. 501 where the
// server has no roster. Thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "accelerate/serve/openai.h"
#include "accelerate/serve/server.h"

namespace accelerate {

inline constexpr std::chrono::seconds kUnloadDrain{30};

void list_endpoints_route(const Administered& admin, const Responder& to);
void show_endpoint_route(const Administered& admin, const std::string& name, const Responder& to);
/// 409 where the name is taken; what can not be loaded is not kept.
void add_endpoint_route(const Administered& admin, std::string_view body, const Responder& to);
void remove_endpoint_route(const Administered& admin, const std::string& name, const Responder& to);
/// `action`: load, unload, pin, unpin or switch.
void endpoint_action_route(const Administered& admin, const std::string& name, std::string_view action, std::string_view body, const Responder& to);

}  // namespace accelerate
