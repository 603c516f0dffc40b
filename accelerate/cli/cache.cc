#include <algorithm>
#include <ctime>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/program_cache.h"

namespace accelerate {
namespace {

constexpr int64_t kDayS = 24 * 60 * 60;
constexpr uint32_t kDaysMax = 36'500;
constexpr size_t kKeyShown = 12;

std::string time_of(int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &utc));
}

std::string part(const ProgramEntry& entry, const char* name) {
  const auto found = entry.parts.find(name);
  return found == entry.parts.end() ? "-" : printable(found->second);
}

Json json_of(const ProgramEntry& entry) {
  return {{"id", entry.key}, {"model", entry.model}, {"parts", entry.parts}, {"bytes", entry.bytes}, {"files", entry.files.size()},
          {"created_unix_s", entry.created_unix_s}, {"used_unix_s", entry.used_unix_s}, {"in_use", entry.in_use},
          {"problem", entry.problem.empty() ? Json() : Json(entry.problem)}};
}

Json json_of(const std::vector<ProgramEntry>& entries) {
  Json list = Json::array();
  for (const ProgramEntry& entry : entries) list.push_back(json_of(entry));
  return list;
}

std::string table_of(const std::vector<ProgramEntry>& entries) {
  std::vector<std::vector<std::string>> rows = {{"ID", "MODEL", "TARGET", "SIZE", "USED (UTC)", "STATE"}};
  for (const ProgramEntry& entry : entries) {
    rows.push_back({entry.key.substr(0, kKeyShown), printable(entry.model), part(entry, "backend") + "@" + part(entry, "device"), format_bytes(entry.bytes),
                    time_of(entry.used_unix_s), !entry.problem.empty() ? "broken" : entry.in_use ? "in use" : "whole"});
  }
  return format_table(rows);
}

uint64_t bytes_of(const std::vector<ProgramEntry>& entries) {
  uint64_t total = 0;
  for (const ProgramEntry& entry : entries) total += entry.bytes;
  return total;
}

class CacheVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "One JSON object");
    list_ = add(app, "list", "Show the compiled artifacts, least recently used first");
    verify_ = add(app, "verify", "Read every byte and name what is broken");
    verify_->add_flag("--repair", repair_, "Remove what is broken: it is compiled again when it is needed");
    prune_ = add(app, "prune", "Remove the least recently used until the limit is kept; what runs stays");
    prune_->add_option("--program-cache-max,--max", bytes_max_, "What may stay, as 4GB; default: the cache's limit")->transform(CLI::AsSizeValue(false))->type_name("SIZE");
    prune_->add_flag("--all", all_, "Everything that nothing uses");
    prune_->add_option("--older-than", days_, "What was not used for so many days")->check(CLI::Range(uint32_t{0}, kDaysMax))->type_name("DAYS");
    app.require_subcommand(1);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ProgramCache cache({.folder = {}, .bytes_max = bytes_max_});
    if (list_->parsed()) return list(console, cache);
    return verify_->parsed() ? verify(console, cache) : prune(console, cache);
  }

 private:
  static CLI::App* add(CLI::App& app, const char* name, const char* summary) {
    CLI::App* inner = app.add_subcommand(name, summary);
    inner->set_help_flag("-h,--help", "Show options and examples");
    inner->fallthrough();
    return inner;
  }
  Result<void> put(Console& console, const Json& json, const std::string& text) const {
    return (json_ ? console.put_json(dump_json(json, 2)) : console.put(text)) ? Result<void>() : console.output_error();
  }
  Result<void> list(Console& console, ProgramCache& cache) const {
    ACC_TRY(const std::vector<ProgramEntry> entries, cache.list());
    const uint64_t bytes = bytes_of(entries);
    std::string text = fmt::format("{}: {} of at most {}\n", cache.folder().string(), format_bytes(bytes), format_bytes(cache.bytes_max()));
    if (!entries.empty()) text += "\n" + table_of(entries);
    return put(console, {{"folder", cache.folder().string()}, {"bytes", bytes}, {"bytes_max", cache.bytes_max()}, {"entries", json_of(entries)}}, text);
  }
  Result<void> verify(Console& console, ProgramCache& cache) const {
    const Result<std::vector<ProgramEntry>> entries = [&] {
      ProgressLine progress(console);
      return cache.verify(repair_, progress);
    }();
    if (!entries) return entries.error();
    std::string text;
    size_t broken = 0;
    for (const ProgramEntry& entry : *entries) {
      if (entry.problem.empty()) continue;
      ++broken;
      text += fmt::format("{} {}\n", repair_ ? "removed" : "broken", printable(entry.problem, 1000));
    }
    text += fmt::format("{} of {} whole, {} read\n", entries->size() - broken, entries->size(), format_bytes(bytes_of(*entries)));
    ACC_TRY_VOID(put(console, {{"folder", cache.folder().string()}, {"broken", broken}, {"repaired", repair_}, {"entries", json_of(*entries)}}, text));
    if (broken == 0 || repair_) return {};
    return Error{ErrorCode::kDataLoss, fmt::format("[cache] every entry is as it was written; got {} broken of {}; try `ipfs-accelerate cache verify --repair`", broken, entries->size())};
  }
  Result<void> prune(Console& console, ProgramCache& cache) const {
    ProgramPrune wish{.all = all_, .bytes_max = bytes_max_};
    if (days_) wish.unused_s = *days_ * kDayS;
    ACC_TRY(const ProgramPruned pruned, cache.prune(wish));
    std::string text;
    for (const ProgramEntry& entry : pruned.removed) text += fmt::format("removed {} {} {}\n", entry.key.substr(0, kKeyShown), printable(entry.model), format_bytes(entry.bytes));
    for (const ProgramEntry& entry : pruned.kept_in_use) text += fmt::format("in use {} {} {}\n", entry.key.substr(0, kKeyShown), printable(entry.model), format_bytes(entry.bytes));
    if (pruned.abandoned != 0) text += fmt::format("removed {} half-written by processes that died\n", pruned.abandoned);
    text += fmt::format("{} removed, {} stay\n", format_bytes(bytes_of(pruned.removed)), format_bytes(pruned.bytes_left));
    return put(console, {{"folder", cache.folder().string()}, {"removed", json_of(pruned.removed)}, {"in_use", json_of(pruned.kept_in_use)},
                         {"bytes_removed", bytes_of(pruned.removed)}, {"bytes_left", pruned.bytes_left}, {"abandoned", pruned.abandoned}}, text);
  }

  CLI::App *list_ = nullptr, *verify_ = nullptr, *prune_ = nullptr;
  bool json_ = false, repair_ = false, all_ = false;
  std::optional<uint64_t> bytes_max_;
  std::optional<uint32_t> days_;
};

}  // namespace

std::unique_ptr<Verb> make_cache_verb() { return std::make_unique<CacheVerb>(); }

}  // namespace accelerate
