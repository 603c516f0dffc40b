#include "accelerate/serve/admin_routes.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/log.h"
#include "accelerate/engine/stopping.h"
#include "accelerate/net/url.h"
#include "accelerate/serve/admin_endpoints.h"
#include "accelerate/serve/admin_requests.h"
#include "accelerate/serve/admin_write.h"
#include "accelerate/serve/watched.h"

namespace accelerate {
namespace {

constexpr std::chrono::seconds kProbeTimeout{20};

constexpr AdminRoute kRoutes[] = {
    {"GET", "/v1/admin/hardware"}, {"POST", "/v1/admin/plan"},   {"POST", "/v1/admin/bench"},
    {"GET", "/v1/admin/records"},  {"GET", "/v1/admin/models"}, {"GET", "/v1/admin/models/{name}"},
    {"GET", "/v1/admin/endpoints"}, {"POST", "/v1/admin/endpoints"}, {"GET", "/v1/admin/endpoints/{name}"}, {"DELETE", "/v1/admin/endpoints/{name}"},
    {"POST", "/v1/admin/endpoints/{name}/load"}, {"POST", "/v1/admin/endpoints/{name}/unload"}, {"POST", "/v1/admin/endpoints/{name}/pin"},
    {"POST", "/v1/admin/endpoints/{name}/unpin"}, {"POST", "/v1/admin/endpoints/{name}/switch"},
};
constexpr std::string_view kEndpoints = "/v1/admin/endpoints";

// Takes the text before the next '/' off the front.
std::string_view next_segment(std::string_view& path) {
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(std::min(segment.size() + 1, path.size()));
  return segment;
}

// Whether `path` is `pattern`; `name` is what stands for {name}.
bool matches(std::string_view pattern, std::string_view path, std::string_view& name) {
  if (std::count(pattern.begin(), pattern.end(), '/') != std::count(path.begin(), path.end(), '/')) return false;
  while (!pattern.empty()) {
    const std::string_view wanted = next_segment(pattern), got = next_segment(path);
    if (wanted == "{name}" && !got.empty()) name = got;
    else if (wanted != got) return false;
  }
  return path.empty();
}

void send(const Result<Json>& reply, const Responder& to) {
  if (reply) to.json(dump_json(*reply));
  else to.fail(api_error(reply.error()));
}

}  // namespace

std::span<const AdminRoute> admin_routes() { return kRoutes; }

bool AdminPath::takes(std::string_view method) const {
  return std::any_of(std::begin(kRoutes), std::end(kRoutes), [&](const AdminRoute& route) {
    return route.pattern == pattern && (route.method == method || (route.method == "GET" && method == "HEAD"));
  });
}

std::optional<AdminPath> AdminDoor::find(std::string_view path) {
  std::optional<AdminPath> found;
  for (const AdminRoute& route : kRoutes) {
    std::string_view name;
    if (!matches(route.pattern, path, name)) continue;
    if (!found) found = AdminPath{.pattern = route.pattern, .allow = "", .name = name};
    found->allow += fmt::format("{}, {}", route.method, route.method == "GET" ? "HEAD, " : "");
  }
  if (found) found->allow += "OPTIONS";
  return found;
}

Parsed<std::string> AdminDoor::client_of(std::string_view key) const {
  if (keys_.empty()) {
    return ApiError{.status = 403, .message = "[admin] these routes need an admin key; this server has none; try `serve --admin-key-file FILE`", .param = "",
                    .code = "admin_disabled"};
  }
  if (const std::optional<std::string> client = keys_.client_of(key)) return *client;
  return api_error_of_status(401, "[admin] these routes ask for an admin key, which no other key is; got none or a wrong one; try "
                                  "'Authorization: Bearer KEY' with a key of --admin-key-file");
}

void AdminDoor::answer(const AdminPath& path, const HttpRequest& request, const Responder& to) {
  if (what_.engine == nullptr) return void(to.fail(api_error_of_status(501, "[admin] this server has no engine to administer")));
  const std::optional<std::string> name = percent_decode(path.name);
  if (!name) return void(to.fail({.message = "[admin] a name in a URL has whole percent escapes; got a broken one", .param = "name", .code = ""}));
  if (path.pattern == "/v1/admin/plan") return plan(request.body, to);
  if (path.pattern == "/v1/admin/bench") return bench(request.body, to);
  if (path.pattern == "/v1/admin/records") return records(request.query, to);
  if (path.pattern == "/v1/admin/models") return send(known_models_json(), to);
  if (path.pattern == "/v1/admin/models/{name}") return model(*name, to);
  if (path.pattern.starts_with(kEndpoints)) return endpoints(path, *name, request, to);
  send(Json{{"hardware", hardware_json(what_.engine->hardware(std::chrono::steady_clock::now() + kProbeTimeout))}}, to);
}

void AdminDoor::endpoints(const AdminPath& path, const std::string& name, const HttpRequest& request, const Responder& to) const {
  const std::string_view rest = path.pattern.substr(kEndpoints.size());
  if (rest.empty() && request.method == "POST") return add_endpoint_route(what_, request.body, to);
  if (rest.empty()) return list_endpoints_route(what_, to);
  if (const size_t action = rest.rfind('/'); action != 0) return endpoint_action_route(what_, name, rest.substr(action + 1), request.body, to);
  if (request.method == "DELETE") return remove_endpoint_route(what_, name, to);
  show_endpoint_route(what_, name, to);
}

void AdminDoor::plan(std::string_view body, const Responder& to) const {
  Parsed<AdminPlan> asked = read_admin_plan(body);
  if (!asked.ok()) return void(to.fail(asked.error()));
  const Result<ModelPlan> plan = what_.engine->plan(asked->model, asked->open);
  if (plan) to.json(dump_json(plan_json(*plan)));
  else to.fail(api_error(plan.error()));
}

void AdminDoor::bench(std::string_view body, const Responder& to) {
  Parsed<AdminBench> asked = read_admin_bench(body);
  if (!asked.ok()) return void(to.fail(asked.error()));
  const Result<std::vector<BenchTarget>> targets = bench_targets(asked->targets, asked->options.open, *what_.engine);
  if (!targets) return void(to.fail(api_error(targets.error())));
  const std::unique_lock turn(bench_turn_, std::try_to_lock);
  if (!turn) {
    return void(to.fail({.status = 409, .message = "[admin] one bench runs at a time, or they would measure each other; try again when it has ended", .param = "",
                         .code = "bench_running"}));
  }
  log_info(fmt::format("[admin] {} by {}: bench of {} on {}", to.request_id, to.client, dump_json(asked->model), dump_json(asked->targets)));
  const auto bench = watched(to.writer, [&](const std::atomic<bool>& stop) {
    StopProgress progress(&stop);
    asked->options.stop = &stop;
    return run_target_bench(*what_.engine, asked->model, *targets, asked->options, progress);
  });
  if (!bench) return;  // whoever asked has left; the rounds that ended are in the records
  if (*bench) to.json(dump_json(target_bench_json(**bench, asked->options)));
  else to.fail(api_error(bench->error()));
}

void AdminDoor::records(std::string_view query, const Responder& to) const {
  Parsed<AdminRecords> asked = read_admin_records(query);
  if (!asked.ok()) return void(to.fail(asked.error()));
  Records* records = what_.engine->records();
  if (records == nullptr) return void(to.fail(api_error_of_status(503, "[admin] the file of records can not be used; the log has the cause")));
  const Result<std::vector<Record>> found = records->find(asked->filter);
  if (!found) return void(to.fail(api_error(found.error())));
  Json list = Json::array();
  size_t samples = 0;
  bool cut = false;
  for (const Record& record : *found) {
    for (const auto& [metric, values] : record.samples) samples += values.size();
    cut = list.size() == asked->limit || (samples > kAdminSamplesMax && !list.empty());
    if (cut) break;
    list.push_back(record_json(record));
  }
  send(Json{{"records", std::move(list)}, {"cut", cut}, {"notices", records->notices()}}, to);
}

void AdminDoor::model(const std::string& word, const Responder& to) const {
  const Result<ModelDescription> description = what_.engine->describe(word, {});
  if (description) to.json(dump_json(description_json(*description, std::nullopt)));
  else to.fail(api_error(description.error()));
}

}  // namespace accelerate
