// Scripts made from the app tree itself, so that a new option completes by being declared. Model names are asked of the
// binary at completion time: `models --names`.
#include <functional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

std::vector<std::string> option_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

/// Long names of options that take a value: the word behind them is no option and no model.
std::vector<std::string> valued_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() == 0) continue;
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return words;
}

std::vector<const CLI::App*> inner_apps(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

bool takes_model(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() && (option->get_name() == "MODEL" || option->get_name() == "NAME")) return true;
  }
  return false;
}

/// The words that a positional of `app` may be, as shell text.
std::string positional_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* inner : inner_apps(app)) words.push_back(inner->get_name());
  if (app.get_name() == "completion") words = {"bash", "zsh"};
  if (takes_model(app)) words.push_back("$(ipfs-accelerate models --names 2>/dev/null)");
  return fmt::format("{}", fmt::join(words, " "));
}

void bash_cases(const CLI::App& app, const CLI::App& root, const std::string& path, std::string& script) {
  std::vector<std::string> options = option_words(app), valued = valued_words(app);
  for (const CLI::App* outer = &app; outer != &root;) {  // what stands before a verb may stand behind it
    outer = outer->get_parent();
    for (const std::string& word : option_words(*outer)) {
      if (word != "--version" && word != "--help") options.push_back(word);
    }
    for (const std::string& word : valued_words(*outer)) valued.push_back(word);
  }
  const std::string files = takes_model(app) ? "; files=1" : "";
  script += fmt::format("    \"{}\") options=\"{}\"; valued=\" {} \"; words=\"{}\"{} ;;\n", path, fmt::join(options, " "), fmt::join(valued, " "),
                        positional_words(app), files);
  for (const CLI::App* inner : inner_apps(app)) bash_cases(*inner, root, path.empty() ? inner->get_name() : path + " " + inner->get_name(), script);
}

/// Words of verbs and their inner verbs, and the verbs that have some, as shell patterns.
struct VerbWords {
  std::vector<std::string> all, nested;
};
VerbWords verb_words(const CLI::App& root) {
  VerbWords words;
  for (const CLI::App* verb : inner_apps(root)) {
    words.all.push_back(verb->get_name());
    for (const CLI::App* inner : inner_apps(*verb)) words.all.push_back(inner->get_name());
    if (!inner_apps(*verb).empty()) words.nested.push_back(verb->get_name());
  }
  return words;
}

std::string bash_script(const CLI::App& root) {
  std::string cases;
  bash_cases(root, root, "", cases);
  const VerbWords words = verb_words(root);
  return fmt::format(R"sh(# bash completion of ipfs-accelerate, made by `ipfs-accelerate completion bash`
_ipfs_accelerate() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="" word i
  local options="" valued="" words="" files=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${{COMP_WORDS[i]}}"
    case "$word" in
      {}) path="${{path:+$path }}$word"; case "$path" in {}) ;; *) break ;; esac ;;
    esac
  done
  case "$path" in
{}  esac
  if [[ "$valued" == *" $prev "* ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
  elif [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    [[ -n "$files" ]] && COMPREPLY+=($(compgen -f -- "$cur"))
  fi
}}
complete -o filenames -F _ipfs_accelerate ipfs-accelerate
)sh", fmt::join(words.all, "|"), fmt::join(words.nested, "|"), cases);
}

std::string zsh_quoted(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\'') quoted += "'\\''";
    else if (c == '[' || c == ']' || c == ':' || c == '\\') quoted += std::string("\\") + c;
    else quoted += c;
  }
  return quoted;
}

std::string zsh_option(const CLI::Option& option) {
  std::string specs;
  const bool valued = option.get_items_expected_max() != 0;
  for (const std::string& name : option.get_lnames()) {
    specs += fmt::format("      '*--{}[{}]{}' \\\n", name, zsh_quoted(option.get_description()), valued ? ":value:_files" : "");
  }
  return specs;
}

void zsh_cases(const CLI::App& app, const CLI::App& root, const std::string& path, std::string& script) {
  std::string specs;
  for (const CLI::Option* option : app.get_options()) specs += zsh_option(*option);
  for (const CLI::App* outer = &app; outer != &root;) {
    outer = outer->get_parent();
    for (const CLI::Option* option : outer->get_options()) {
      const bool own = option->get_lnames().empty() || option->get_lnames().front() == "help" || option->get_lnames().front() == "version";
      if (!own) specs += zsh_option(*option);
    }
  }
  const std::string words = positional_words(app);
  const std::string action = takes_model(app) ? "_ipfs_accelerate_models" : words.empty() ? "_files" : fmt::format("({})", words);
  script += fmt::format("    '{}') _arguments -S \\\n{}      '*:argument:{}' ;;\n", path, specs, action);
  for (const CLI::App* inner : inner_apps(app)) zsh_cases(*inner, root, path.empty() ? inner->get_name() : path + " " + inner->get_name(), script);
}

std::string zsh_script(const CLI::App& root) {
  std::string cases;
  zsh_cases(root, root, "", cases);
  const VerbWords words = verb_words(root);
  return fmt::format(R"sh(#compdef ipfs-accelerate
# zsh completion of ipfs-accelerate, made by `ipfs-accelerate completion zsh`
_ipfs_accelerate_models() {{
  compadd -- ${{(f)"$(ipfs-accelerate models --names 2>/dev/null)"}}
  _files
}}
_ipfs_accelerate() {{
  local chosen="" word
  for word in ${{words[2,CURRENT-1]}}; do
    case "$word" in
      {}) chosen="${{chosen:+$chosen }}$word"; case "$chosen" in {}) ;; *) break ;; esac ;;
    esac
  done
  case "$chosen" in
{}  esac
}}
if [[ "$funcstack[1]" == _ipfs-accelerate ]]; then _ipfs_accelerate "$@"; else compdef _ipfs_accelerate ipfs-accelerate; fi
)sh", fmt::join(words.all, "|"), fmt::join(words.nested, "|"), cases);
}

class CompletionVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    root_ = app.get_parent();
    app.add_option("SHELL", shell_, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  }
  Result<void> run(Console& console) override {
    return console.put(shell_ == "bash" ? bash_script(*root_) : zsh_script(*root_)) ? Result<void>() : console.output_error();
  }

 private:
  const CLI::App* root_ = nullptr;
  std::string shell_;
};

}  // namespace

std::unique_ptr<Verb> make_completion_verb() { return std::make_unique<CompletionVerb>(); }

}  // namespace accelerate
