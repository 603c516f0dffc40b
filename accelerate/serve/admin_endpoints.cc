#include "accelerate/serve/admin_endpoints.h"

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/log.h"
#include "accelerate/engine/stopping.h"
#include "accelerate/serve/admin_requests.h"
#include "accelerate/serve/admin_write.h"
#include "accelerate/serve/watched.h"

namespace accelerate {
namespace {

bool has_roster(const Administered& admin, const Responder& to) {
  if (admin.roster != nullptr) return true;
  to.fail(api_error_of_status(501, "[admin] the models of this server do not come and go"));
  return false;
}

std::optional<RosterStatus> status_of(const ModelRoster& roster, const std::string& name) {
  for (RosterStatus& status : roster.list()) {
    if (status.name == name) return std::move(status);
  }
  return std::nullopt;
}

void say(const Responder& to, std::string_view what, const std::string& name) {
  log_info(fmt::format("[admin] {} by {}: {} {}", to.request_id, to.client, what, dump_json(name)));  // quoted: a name may hold anything
}

ApiError no_such_endpoint(const std::string& name) {
  return api_error({ErrorCode::kNotFound, fmt::format("[admin] an endpoint is asked for by its name; got '{}'; try GET /v1/admin/endpoints", name)});
}

// How the model is now, or why what was asked could not be done.
void send_status(const Administered& admin, const std::string& name, const Result<void>& done, const Responder& to) {
  if (!done) return void(to.fail(api_error(done.error())));
  const std::optional<RosterStatus> status = status_of(*admin.roster, name);
  if (status) to.json(dump_json(endpoint_json(*status)));
  else to.fail(no_such_endpoint(name));  // removed meanwhile
}

// Nothing when the client left, which stopped it.
std::optional<Result<void>> load(ModelRoster& roster, const std::string& name, const Responder& to) {
  return watched(to.writer, [&](const std::atomic<bool>& stop) {
    StopProgress progress(&stop);
    return roster.load(name, progress);
  });
}

Result<void> switch_target(const Administered& admin, const std::string& name, const std::string& target) {
  const std::optional<RosterStatus> status = status_of(*admin.roster, name);
  if (status && status->state != ModelState::kLoaded) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[admin] a model that is loaded goes over to another target; got '{}', which is {}; try loading it",
                                                             name, model_state_name(status->state))};
  }
  ACC_TRY(const std::shared_ptr<Endpoint> endpoint, admin.roster->acquire(name));  // in use, so that it stays until it has switched
  return endpoint->switch_target(target);
}

}  // namespace

void list_endpoints_route(const Administered& admin, const Responder& to) {
  if (!has_roster(admin, to)) return;
  Json list = Json::array();
  for (const RosterStatus& status : admin.roster->list()) list.push_back(endpoint_json(status));
  to.json(dump_json(Json{{"endpoints", std::move(list)}}));
}

void show_endpoint_route(const Administered& admin, const std::string& name, const Responder& to) {
  if (!has_roster(admin, to)) return;
  send_status(admin, name, {}, to);
}

void add_endpoint_route(const Administered& admin, std::string_view body, const Responder& to) {
  if (!has_roster(admin, to)) return;
  Parsed<RosterModel> asked = read_admin_endpoint(body, admin.open);
  if (!asked.ok()) return void(to.fail(asked.error()));
  const Result<std::string> name = admin.roster->add(*asked);
  if (!name) return void(to.fail(api_error(name.error())));
  say(to, "add", *name);
  const std::optional<Result<void>> loaded = load(*admin.roster, *name, to);
  if (!loaded || !*loaded) {
    if (const Result<void> removed = admin.roster->remove(*name, std::chrono::milliseconds(0)); !removed) log_info(removed.error().message);
  }
  if (loaded) send_status(admin, *name, *loaded, to);
}

void remove_endpoint_route(const Administered& admin, const std::string& name, const Responder& to) {
  if (!has_roster(admin, to)) return;
  say(to, "remove", name);
  const Result<void> removed = admin.roster->remove(name, kUnloadDrain);
  if (removed) to.json(dump_json(Json{{"removed", name}}));
  else to.fail(api_error(removed.error()));
}

void endpoint_action_route(const Administered& admin, const std::string& name, std::string_view action, std::string_view body, const Responder& to) {
  if (!has_roster(admin, to)) return;
  Parsed<std::string> target = read_admin_action(body, action == "switch");
  if (!target.ok()) return void(to.fail(target.error()));
  say(to, action, name);
  if (action == "load") {
    if (const std::optional<Result<void>> loaded = load(*admin.roster, name, to)) send_status(admin, name, *loaded, to);
    return;
  }
  const Result<void> done = action == "switch"   ? switch_target(admin, name, *target)
                            : action == "unload" ? admin.roster->unload(name, kUnloadDrain)
                                                 : admin.roster->pin(name, action == "pin");
  send_status(admin, name, done, to);
}

}  // namespace accelerate
