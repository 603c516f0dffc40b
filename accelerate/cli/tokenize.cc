// Needs the model's files only: no weights are loaded, no backend is asked.
#include <limits>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"
#include "accelerate/formats/open.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

Result<std::vector<uint32_t>> parse_ids(const std::string& text, uint32_t size) {
  std::vector<uint32_t> ids;
  size_t at = 0;
  while ((at = text.find_first_not_of(" ,\t\r\n[]", at)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(" ,\t\r\n[]", at), text.size());
    const std::string word = text.substr(at, end - at);
    const bool digits = word.size() <= 10 && word.find_first_not_of("0123456789") == std::string::npos;
    const uint64_t id = digits ? std::stoull(word) : std::numeric_limits<uint64_t>::max();
    if (id >= size) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[tokenize] a token id is a number below {}; got '{}'", size, printable(word))};
    }
    ids.push_back(static_cast<uint32_t>(id));
    at = end;
  }
  return ids;
}

class TokenizeVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "A path or a name that `models` lists")->required();
    app.add_option("TEXT", words_, "The text, or the ids for --decode; none: from standard input");
    app.add_flag("--ids", ids_only_, "Only the ids, in one line");
    app.add_flag("--decode", decode_, "The words are token ids: print their text");
    app.add_flag("--special", special_, "Add BOS and the like as the model wants them; control tokens in the text count as such");
    app.add_flag("--json", json_, "One JSON object with ids and pieces");
    app.add_flag("--no-pull", flags_.no_pull, "Do not fetch a model of the catalog that is not here yet: fail instead");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    if (!decode_ && words_.size() > 1) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[tokenize] one text is expected; got {}; a text of several words needs quotes",
                                                            words_.size())};
    }
    std::string text = fmt::format("{}", fmt::join(words_, " "));
    if (words_.empty()) {
      ACC_TRY(text, read_all(console.streams().in, limits::kRequestBytesMax));
    }
    ACC_TRY_VOID(ensure_pulled(console, model_, flags_));
    ACC_TRY(const ModelLocation where, locate_model(model_));
    ACC_TRY(const std::shared_ptr<Model> model, open_model(where.path));
    if (!model->tokenizer) {
      return Error{ErrorCode::kFailedPrecondition, fmt::format("[tokenize] the model must bring a tokenizer; got none in '{}'", where.path)};
    }
    ACC_TRY(const std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(*model->tokenizer));
    return decode_ ? print_text(console, *tokenizer, text) : print_tokens(console, *tokenizer, text);
  }

 private:
  Result<void> print_text(Console& console, const Tokenizer& tokenizer, const std::string& text) const {
    ACC_TRY(const std::vector<uint32_t> ids, parse_ids(text, tokenizer.size()));
    const std::string decoded = tokenizer.decode(ids, {.skip_special = !special_});
    const bool put = json_ ? console.put_json(dump_json(Json{{"ids", ids}, {"text", decoded}})) : console.put(decoded + "\n");
    return put ? Result<void>() : console.output_error();
  }
  Result<void> print_tokens(Console& console, const Tokenizer& tokenizer, const std::string& text) const {
    ACC_TRY(const std::vector<uint32_t> ids, tokenizer.encode(text, {.add_special = special_, .parse_special = special_}));
    std::string out;
    if (json_) {
      Json pieces = Json::array();
      for (const uint32_t id : ids) pieces.push_back(std::string(tokenizer.token_bytes(id)));
      return console.put_json(dump_json(Json{{"ids", ids}, {"pieces", pieces}})) ? Result<void>() : console.output_error();
    }
    if (ids_only_) {
      out = fmt::format("{}\n", fmt::join(ids, " "));
    } else {
      // As a JSON string: spaces, line ends and bytes of a split character stay visible.
      for (const uint32_t id : ids) out += fmt::format("{:>8}  {}\n", id, dump_json(Json(std::string(tokenizer.token_bytes(id)))));
    }
    return console.put(out) ? Result<void>() : console.output_error();
  }

  std::string model_;
  std::vector<std::string> words_;
  bool ids_only_ = false, decode_ = false, special_ = false, json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_tokenize_verb() { return std::make_unique<TokenizeVerb>(); }

}  // namespace accelerate
