#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/cli/admin_client.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/engine.h"
#include "accelerate/net/url.h"

namespace accelerate {
namespace {

// The member of an answer that a server of another version may not have.
std::string text_of(const Json& object, std::string_view name, std::string_view otherwise = "-") {
  const auto at = object.is_object() ? object.find(name) : object.end();
  if (at == object.end() || at->is_null()) return std::string(otherwise);
  return printable(at->is_string() ? at->get<std::string>() : dump_json(*at));
}

Result<Json> object_of(const std::string& reply) {
  ACC_TRY(Json json, parse_json(reply, {.where = "endpoints"}));
  if (!json.is_object()) return Error{ErrorCode::kDataLoss, "[endpoints] a server answers with a JSON object; got something else"};
  return json;
}

double number_of(const Json& object, std::string_view name) {
  const auto at = object.is_object() ? object.find(name) : object.end();
  return at != object.end() && at->is_number() ? at->get<double>() : 0;
}

std::string targets_text(const Json& endpoint) {
  std::vector<std::string> texts;
  for (const Json& target : endpoint.value("targets", Json::array())) texts.push_back(fmt::format("{} {}", text_of(target, "target"), text_of(target, "state")));
  if (texts.empty()) texts.push_back(text_of(endpoint.value("about", Json()), "target"));
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string table_of(const Json& endpoints) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "MEMORY", "REQUESTS", "RUNNING", "IDLE s", "TARGETS"}};
  std::string errors;
  for (const Json& endpoint : endpoints) {
    if (!endpoint.is_object()) continue;
    const Json about = endpoint.value("about", Json()), stats = endpoint.value("stats", Json());
    const bool pinned = endpoint.value("pinned", Json(false)) == true;
    rows.push_back({text_of(endpoint, "name"), text_of(endpoint, "state") + (pinned ? ", pinned" : ""),
                    about.is_object() ? format_bytes(static_cast<uint64_t>(number_of(about, "memory_bytes"))) : "-", text_of(stats, "requests"), text_of(stats, "running"),
                    format_number(number_of(endpoint, "idle_s"), 0), targets_text(endpoint)});
    if (const std::string error = text_of(endpoint, "error", ""); !error.empty()) errors += fmt::format("{}: {}\n", text_of(endpoint, "name"), error);
  }
  return format_table(rows) + errors;
}

Json list_of(const std::string& word) {
  Json list = Json::array();
  std::istringstream words(word);
  for (std::string one; std::getline(words, one, ',');) list.push_back(one);
  return list;
}

// What the options of `load` say, as the members of POST /v1/admin/endpoints.
struct LoadFlags {
  std::string model, name, hardware, quantization, fallback, targets, together;
  uint32_t context = 0, slots = 0, threads = 0;
  bool isolate = false, deterministic = false, pinned = false;

  Json json() const {
    Json body = {{"model", model}};
    for (const auto& [member, text] : {std::pair("name", &name), {"hardware", &hardware}, {"quantization", &quantization}, {"fallback", &fallback}}) {
      if (!text->empty()) body[member] = *text;
    }
    for (const auto& [member, count] : {std::pair("context", context), {"slots", slots}, {"threads", threads}}) {
      if (count != 0) body[member] = count;
    }
    for (const auto& [member, on] : {std::pair("isolate", isolate), {"deterministic", deterministic}, {"pinned", pinned}, {"together", !together.empty()}}) {
      if (on) body[member] = true;
    }
    if (const std::string& list = together.empty() ? targets : together; !list.empty()) body["targets"] = list_of(list);
    return body;
  }
};


class EndpointsVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_admin_client_flags(app, client_flags_);
    app.add_flag("--json", json_, "The server's own JSON");
    declare_load(app);
    declare_action(app, "unload", "Unload a model; the next request loads it again");
    declare_action(app, "remove", "Unload a model and forget it");
    declare_action(app, "pin", "Keep a model loaded, whatever else needs memory");
    declare_action(app, "unpin", "Let a model go when it is idle or its memory is needed");
    CLI::App* change = declare_action(app, "switch", "Let another target of its plan answer, without dropping a request");
    change->add_option("TARGET", target_, "As `cpu-isolated@cpu:0`")->required();
    app.require_subcommand(0, 1);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(const AdminClient client, AdminClient::make(client_flags_));
    if (!client.private_to_others()) console.note("the admin key goes over plain HTTP to another machine; try https");
    CLI::App* action = nullptr;
    for (CLI::App* one : actions_) action = one->parsed() ? one : action;
    ACC_TRY(const std::string reply, action == nullptr ? client.ask("GET", "endpoints") : act(console, client, action->get_name()));
    if (json_) return console.put(reply + "\n") ? Result<void>() : console.output_error();
    ACC_TRY(const Json json, object_of(reply));
    const std::string text = json.contains("removed")    ? fmt::format("{} is removed\n", text_of(json, "removed"))
                             : json.contains("endpoints") ? table_of(json["endpoints"])
                                                          : table_of(Json::array({json}));
    return console.put(text) ? Result<void>() : console.output_error();
  }

 private:
  CLI::App* declare_one(CLI::App& app, const std::string& name, const std::string& summary) {
    CLI::App* inner = app.add_subcommand(name, summary);
    inner->set_help_flag("-h,--help", "Show options and examples");
    inner->fallthrough();
    actions_.push_back(inner);
    return inner;
  }
  CLI::App* declare_action(CLI::App& app, const std::string& name, const std::string& summary) {
    CLI::App* inner = declare_one(app, name, summary);
    inner->add_option("NAME", name_, "As `endpoints` lists it")->required();
    return inner;
  }
  void declare_load(CLI::App& app) {
    CLI::App* inner = declare_one(app, "load", "Load a model, one that is served or another, and wait until it answers");
    inner->add_option("MODEL", load_.model, "The name of one that is served; else a path or a name on the server's machine")->required();
    inner->add_option("--name", load_.name, "What clients call it; default: the model's own name")->type_name("NAME");
    CLI::Option* hardware = inner->add_option("--hardware", load_.hardware, "auto, or a name that `devices` lists there")->type_name("NAME");
    CLI::Option* targets = inner->add_option("--targets", load_.targets, "Exact ones in the order to try, as cpu@cpu:0,cpu-isolated@cpu:0")->type_name("TARGETS")->excludes(hardware);
    inner->add_option("--together", load_.together, "Serve on all of these at once")->type_name("TARGETS")->excludes(hardware)->excludes(targets);
    inner->add_option("--quantization", load_.quantization, "What weights become at load; default: the file's own")->type_name("TYPE");
    inner->add_option("--fallback", load_.fallback, "When a target fails: allow, notify or forbid")->check(CLI::IsMember({"forbid", "allow", "notify"}))->type_name("WORD");
    inner->add_option("--ctx", load_.context, "Tokens of prompt and answer together")->check(CLI::Range(uint32_t{1}, kContextAskedMax))->type_name("TOKENS");
    inner->add_option("--slots", load_.slots, "Answers at the same time")->check(CLI::Range(uint32_t{1}, limits::kSlotsMax))->type_name("N");
    inner->add_option("--threads", load_.threads, "CPU threads")->check(CLI::Range(uint32_t{1}, ThreadPool::kThreadsMax))->type_name("N");
    inner->add_flag("--isolate", load_.isolate, "In a worker process");
    inner->add_flag("--deterministic", load_.deterministic, "The same request gives the same tokens, bit for bit");
    inner->add_flag("--pin", load_.pinned, "Keep it loaded");
  }

  // One that is served is loaded as it was added; else it is added.
  Result<std::string> load(Console& console, const AdminClient& client) const {
    ACC_TRY(const std::string reply, client.ask("GET", "endpoints"));
    ACC_TRY(const Json json, object_of(reply));
    const Json body = load_.json();
    for (const Json& endpoint : json.value("endpoints", Json::array())) {
      if (!load_.name.empty() || text_of(endpoint, "name") != load_.model) continue;
      if (body.size() > 1) console.note(fmt::format("{} is served: it is loaded as it was added, without these options; --name adds another", printable(load_.model)));
      return client.ask("POST", path_of(load_.model, "/load"));
    }
    console.say(fmt::format("loading {}; Ctrl-C stops it", printable(load_.model)));
    return client.ask("POST", "endpoints", dump_json(body));
  }

  Result<std::string> act(Console& console, const AdminClient& client, const std::string& action) const {
    if (action == "load") return load(console, client);
    if (action == "remove") return client.ask("DELETE", path_of(name_, ""));
    return client.ask("POST", path_of(name_, "/" + action), action == "switch" ? dump_json(Json{{"target", target_}}) : "");
  }

  static std::string path_of(const std::string& name, const std::string& action) { return "endpoints/" + percent_encode(name) + action; }

  AdminClientFlags client_flags_;
  LoadFlags load_;
  std::string name_, target_;
  bool json_ = false;
  std::vector<CLI::App*> actions_;
};

}  // namespace

std::unique_ptr<Verb> make_endpoints_verb() { return std::make_unique<EndpointsVerb>(); }

}  // namespace accelerate
