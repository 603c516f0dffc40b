#include <algorithm>
#include <filesystem>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/cli/answer.h"
#include "accelerate/cli/chat.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"
#include "accelerate/text/limits.h"

namespace accelerate {
namespace {

class RunVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "A path (GGUF file, Hugging Face folder), a name that `models` lists, or hf:org/repo[@revision][:file]")->required();
    app.add_option("PROMPT", prompt_, "The prompt; '-' or nothing: from a pipe; nothing on a terminal: chat");
    app.add_flag("--raw", raw_, "Continue the text itself, without the chat template");
    app.add_option("--system", system_, "System message")->type_name("TEXT");
    app.add_option("--temperature", sampling_.temperature, "0 = greedy, the default of this verb")->type_name("T");
    app.add_option("--top-p", sampling_.top_p, "Smallest set of tokens with this probability, in (0, 1]")->type_name("P");
    app.add_option("--top-k", sampling_.top_k, "The k likeliest tokens; 0 = all")->type_name("K");
    app.add_option("--min-p", sampling_.min_p, "Tokens at least this share as likely as the likeliest, in [0, 1]")->type_name("P");
    app.add_option("--seed", seed_, "Makes sampling repeatable")->type_name("N");
    app.add_option("--max-tokens", max_tokens_, "Tokens of the answer; default: what the context leaves")
        ->check(CLI::Range(uint32_t{1}, uint32_t{1} << 24))->type_name("N");
    app.add_option("--stop", stop_, "Text that ends the answer; may be given up to 4 times")->allow_extra_args(false)->type_name("TEXT");
    app.add_option("--json-schema", schema_, "JSON Schema that the answer must match: a file, or the schema itself")->type_name("SCHEMA");
    app.add_option("--grammar", grammar_, "Lark grammar that the answer must match: a file, or the grammar itself")->type_name("LARK");
    app.add_flag("--json", json_, "One JSON object with text, tokens, usage and timings");
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
    add_relay_flags(app, flags_);
    add_together_flag(app, flags_);
    add_choice_flags(app, flags_.choice);
    add_measure_flag(app, flags_.choice);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    const bool interactive = !prompt_ && console.streams().in_is_terminal;
    ACC_TRY_VOID(check_options(interactive));
    if (!interactive && (!prompt_ || *prompt_ == "-")) {
      ACC_TRY(prompt_, read_all(console.streams().in, limits::kRequestBytesMax));
      if (prompt_->ends_with('\n')) prompt_->pop_back();  // the line end that echo adds is no part of a prompt
    }
    if (prompt_ && prompt_->empty()) {
      return Error{ErrorCode::kInvalidArgument, "[run] a prompt must not be empty; got nothing; try run MODEL \"some text\""};
    }
    ACC_TRY_VOID(read_grammar());
    warn_of_unused(console);
    ACC_TRY(const OpenedEngine opened, open_engine(console, model_, flags_));
    ACC_TRY_VOID(check_model(opened.endpoint->info()));
    if (interactive) {
      return chat(console, *opened.endpoint, {.prototype = prototype(), .system = system_, .raw = raw_});
    }
    ACC_TRY(const AnswerReport report, stream_answer(console, *opened.endpoint, request(), {.show = !json_}));
    if (json_ && !console.put_json(dump_json(to_json(report, opened.endpoint->info())))) return console.output_error();
    if (!json_) console.say(summary_line(report));
    if (report.interrupted) return Error{ErrorCode::kCancelled, "[run] stopped by a signal"};
    return {};
  }

 private:
  Result<void> check_options(bool interactive) const {
    if (interactive && json_) {
      return Error{ErrorCode::kInvalidArgument, "[run] --json is for one answer; got a terminal and no prompt; try run MODEL PROMPT --json"};
    }
    if (schema_ && grammar_) {
      return Error{ErrorCode::kInvalidArgument, "[run] --json-schema and --grammar exclude each other; got both; try %json {...} in the grammar"};
    }
    if (raw_ && system_) {
      return Error{ErrorCode::kInvalidArgument, "[run] --system is a message of the chat template; got --raw, which leaves it out"};
    }
    return {};
  }
  Result<void> read_grammar() {
    const std::optional<std::string>& given = schema_ ? schema_ : grammar_;
    if (!given) return {};
    form_ = Grammar{schema_ ? Grammar::Kind::kJsonSchema : Grammar::Kind::kLark, *given};
    std::error_code problem;  // a long grammar is no file's name
    if (!std::filesystem::is_regular_file(*given, problem)) return {};
    ACC_TRY(form_->text, read_file(*given, limits::kGrammarBytesMax));
    return {};
  }
  /// Nothing given is left without effect in silence.
  void warn_of_unused(Console& console) const {
    const SamplingOptions defaults;
    const bool shaped = sampling_.top_p != defaults.top_p || sampling_.top_k != defaults.top_k || sampling_.min_p != defaults.min_p || seed_;
    if (sampling_.temperature == 0 && shaped) {
      console.note("--top-p, --top-k, --min-p and --seed have no effect at temperature 0; add --temperature");
    }
  }
  Result<void> check_model(const EndpointInfo& info) const {
    if (info.kind == ProgramKind::kEncoder) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[run] a model that answers is needed; got {}, which makes embeddings; try "
                                                          "`ipfs-accelerate embed {} TEXT`", info.name, model_)};
    }
    if (!raw_ && !info.chat) {
      return Error{ErrorCode::kFailedPrecondition, fmt::format("[run] a chat needs a chat template; got {}, which has none; try --raw to "
                                                               "continue the text itself, or --chat-template FILE", info.name)};
    }
    return {};
  }
  Request prototype() const {
    Request request;
    request.sampling = sampling_;
    request.sampling.seed = seed_;
    request.max_tokens = max_tokens_;
    request.stop = stop_;
    request.grammar = form_;
    return request;
  }
  Request request() const {
    Request request = prototype();
    if (raw_) {
      request.text = *prompt_;
      return request;
    }
    if (system_) request.messages.push_back({"system", *system_});
    request.messages.push_back({"user", *prompt_});
    return request;
  }
  Json to_json(const AnswerReport& report, const EndpointInfo& info) const {
    const Reply& reply = report.reply;
    std::vector<std::string> notes = info.notes;
    for (const std::string& note : reply.notes) {
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    }
    Json served = Json::array();
    for (const ServedRange& range : reply.served) served.push_back({{"target", range.target}, {"first_token", range.first_token}, {"tokens", range.tokens}});
    return Json{{"model", info.name},
                {"text", report.text},
                {"tokens", report.tokens},
                {"finish_reason", finish_reason_name(reply.finish_reason)},
                {"stop_string", reply.stop_string},
                {"usage", {{"prompt_tokens", report.interrupted ? Json() : Json(reply.usage.prompt_tokens)},
                           {"completion_tokens", reply.usage.completion_tokens}, {"cached_tokens", reply.usage.cached_tokens}}},
                {"timings", {{"load_ms", info.load_ms}, {"queue_ms", reply.queue_ms}, {"ttft_ms", reply.ttft_ms},
                             {"decode_ms", reply.decode_ms}, {"decode_tokens_per_s", decode_tokens_per_s(reply)}}},
                {"target", reply.served_by},
                {"served", served},
                {"seed", reply.seed},
                {"memory_peak_bytes", resident_peak_bytes()},
                {"notes", notes}};
  }

  std::string model_;
  std::optional<std::string> prompt_, system_, schema_, grammar_;
  std::optional<Grammar> form_;  // of schema_ or grammar_
  SamplingOptions sampling_{.temperature = 0, .seed = {}};
  std::optional<uint64_t> seed_;
  std::optional<uint32_t> max_tokens_;
  std::vector<std::string> stop_;
  bool raw_ = false, json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_run_verb() { return std::make_unique<RunVerb>(); }

}  // namespace accelerate
