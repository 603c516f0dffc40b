// The app tree, parsing, settings, and the way of every error to stderr and an exit code.
#include <algorithm>
#include <iterator>
#include <new>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/backends/registry.h"
#include "accelerate/base/json.h"
#include "accelerate/base/log.h"
#include "accelerate/cli/cli.h"
#include "accelerate/cli/settings.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/near_match.h"

namespace accelerate {
namespace {

constexpr size_t kErrorBytesMax = 4000;  // of a message: a foreign text inside it may be long

struct Tree {
  CLI::App root{"Runs a model on the best engine this machine really has.", "ipfs-accelerate"};
  std::vector<std::unique_ptr<Verb>> verbs;
  std::string config, log_level;
};

std::string version_text() {
  std::vector<std::string_view> names;
  for (const BackendEntry& entry : backend_registry()) names.push_back(entry.name);
  return fmt::format("ipfs-accelerate {}\nbackends: {}", ACC_VERSION, fmt::join(names, " "));
}

void build_tree(Tree& tree) {
  CLI::App& root = tree.root;
  root.set_version_flag("--version", version_text);
  root.set_help_flag("-h,--help", "Show options and examples");
  root.add_option("--config", tree.config, "Settings file; default: config.toml in ~/.config/ipfs-accelerate")->type_name("FILE");
  root.add_option("--log-level", tree.log_level, "What goes to stderr beside answers")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))->type_name("LEVEL");
  root.require_subcommand(0, 1);
  root.fallthrough();
  root.allow_extras();
  root.footer("Exit codes, settings and every option: docs/cli.md");
  for (const VerbEntry& entry : verbs()) {
    CLI::App* app = root.add_subcommand(std::string(entry.name), std::string(entry.summary));
    app->set_help_flag("-h,--help", "Show options and examples");
    app->footer("Examples:\n" + std::string(entry.examples));
    app->fallthrough();
    tree.verbs.push_back(entry.make());
    tree.verbs.back()->declare(*app);
  }
  take_escaped_values(root);
}

std::vector<std::string> known_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  if (app.get_parent()) {
    for (std::string& word : known_words(*app.get_parent())) {
      if (word.starts_with("-")) words.push_back(std::move(word));
    }
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) words.push_back(verb->get_name());
  return words;
}

/// The innermost parsed verb, or the root.
const CLI::App& parsed_app(const CLI::App& root) {
  const std::vector<CLI::App*> inner = root.get_subcommands();
  return inner.empty() ? root : parsed_app(*inner.front());
}

std::string help_hint(const CLI::App& app) {
  std::string words;
  for (const CLI::App* at = &app; at->get_parent(); at = at->get_parent()) words = " " + at->get_name() + words;
  return fmt::format("try `ipfs-accelerate{} --help`", words);
}

Error leftover_error(const CLI::App& root) {
  const CLI::App& app = parsed_app(root);
  const std::vector<std::string> rest = root.remaining(true);
  std::string word = rest.front();
  if (word.starts_with('\x01')) word.erase(0, 1);
  if (word.starts_with("--")) word = word.substr(0, word.find('='));
  const std::string rule = &app == &root && !word.starts_with("-") ? "the first word is a verb" : "every argument must be known";
  const std::string quote = word.starts_with("-") ? "" : "; a text of several words needs quotes";
  return {ErrorCode::kInvalidArgument, fmt::format("[cli] {}; got '{}'{}{}; {}", rule, printable(word), near_match_hint(word, known_words(app)),
                                                   quote, help_hint(app))};
}

Result<void> parse(Tree& tree, const std::vector<std::string>& args) {
  std::vector<std::string> escaped;  // last first, as CLI11 wants them
  std::transform(args.rbegin(), args.rend(), std::back_inserter(escaped), escape_value);
  try {
    tree.root.parse(escaped);
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::Error& error) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[cli] the options must fit; got: {}; {}", printable(error.what(), 1000),
                                                          help_hint(parsed_app(tree.root)))};
  }
  if (tree.root.remaining_size(true) > 0) return leftover_error(tree.root);
  return {};
}

Result<void> apply_log_level(const std::string& word) {
  static constexpr std::pair<std::string_view, LogLevel> kLevels[] = {{"debug", LogLevel::kDebug}, {"info", LogLevel::kInfo},
      {"warning", LogLevel::kWarning}, {"error", LogLevel::kError}, {"off", LogLevel::kOff}};
  const char* variable = std::getenv("IPFS_ACCELERATE_LOG");
  const std::string wanted = !word.empty() ? word : variable ? variable : "";
  if (wanted.empty()) return {};
  for (const auto& [name, level] : kLevels) {
    if (name == wanted) {
      set_log_level(level);
      return {};
    }
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[cli] IPFS_ACCELERATE_LOG must be debug, info, warning, error or off; got '{}'",
                                                        printable(wanted))};
}

Result<void> parse_and_run(Tree& tree, const std::vector<std::string>& args, Console& console) {
  ACC_TRY_VOID(parse(tree, args));
  const std::filesystem::path path = settings_path(tree.config);
  SettingsFile file;
  if (!path.empty()) {
    ACC_TRY(file, read_settings(path));
    ACC_TRY_VOID(check_settings(tree.root, file));
  }
  ACC_TRY_VOID(apply_settings(tree.root, file));
  ACC_TRY_VOID(apply_log_level(tree.log_level));
  const std::vector<CLI::App*> chosen = tree.root.get_subcommands();
  if (chosen.empty()) {
    console.say(tree.root.help());
    return Error{ErrorCode::kInvalidArgument, "[cli] a verb is needed; got none; try one of the list above"};
  }
  const SignalScope signals;
  for (size_t i = 0; i < verbs().size(); ++i) {
    if (verbs()[i].name == chosen.front()->get_name()) return tree.verbs[i]->run(console);
  }
  return Error{ErrorCode::kInternal, "[cli] every verb has an entry in verbs(); got one without"};
}

bool wants_json(const Tree& tree, const std::vector<std::string>& args) {
  if (std::find(args.begin(), args.end(), "--json") != args.end()) return true;
  return std::any_of(tree.verbs.begin(), tree.verbs.end(), [](const auto& verb) { return verb->json(); });
}

int report(const Error& error, bool json, Console& console) {
  const ErrorCodeTraits& traits = error_code_traits(error.code);
  if (json && !console.json_written()) {
    console.put_json(dump_json(Json{{"error", {{"code", traits.name}, {"message", error.message}}}}));
  }
  console.say("error: " + printable(error.message, kErrorBytesMax));
  return traits.exit_code;
}

}  // namespace

int run_cli(const std::vector<std::string>& args, Streams& streams) {
  Console console(streams);
  Tree tree;
  Result<void> result;
  try {
    build_tree(tree);
    result = parse_and_run(tree, args, console);
  } catch (const CLI::Success& success) {  // --help, --version
    tree.root.exit(success, streams.out, streams.err);
    console.put("");
  } catch (const std::bad_alloc&) {
    result = Error{ErrorCode::kResourceExhausted, "[cli] memory must suffice; got none; try a smaller model, --ctx or --kv-tokens"};
  } catch (const std::exception& exception) {
    result = Error{ErrorCode::kInternal, fmt::format("[cli] no exception may get here; got: {}; please report it", exception.what())};
  }
  if (console.reader_gone()) return kExitBrokenPipe;
  if (result && console.output_lost()) result = console.output_error();
  return result ? 0 : report(result.error(), wants_json(tree, args), console);
}

}  // namespace accelerate
