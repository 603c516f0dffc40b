#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

constexpr size_t kBatchTexts = 64;  // of standard input, so that vectors come while lines still arrive

class EmbedVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "An embedding model: a path or a name that `models` lists")->required();
    app.add_option("TEXT", texts_, "Texts; none: one a line from standard input");
    app.add_flag("--json", json_, "One JSON object with all vectors and the usage, instead of one array a line");
    add_engine_flags(app, flags_);
    add_choice_flags(app, flags_.choice);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(const OpenedEngine opened, open_engine(console, model_, flags_));
    Endpoint& endpoint = *opened.endpoint;
    const EndpointInfo& info = endpoint.info();
    if (info.kind != ProgramKind::kEncoder) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[embed] an embedding model is needed; got {}, which answers prompts; try "
                                                          "`ipfs-accelerate run {} PROMPT`", info.name, model_)};
    }
    if (!texts_.empty()) {
      ACC_TRY_VOID(embed(console, endpoint, texts_));
    } else {
      ACC_TRY_VOID(embed_lines(console, endpoint));
    }
    if (!json_) return {};
    const Json object = {{"model", info.name}, {"embeddings", vectors_}, {"width", info.embedding_width},
                         {"usage", {{"prompt_tokens", prompt_tokens_}}}, {"target", info.target}, {"notes", info.notes}};
    return console.put_json(dump_json(object)) ? Result<void>() : console.output_error();
  }

 private:
  Result<void> embed_lines(Console& console, Endpoint& endpoint) {
    std::vector<std::string> batch;
    std::string line;
    while (std::getline(console.streams().in, line)) {
      if (line.size() > limits::kRequestBytesMax) {
        return Error{ErrorCode::kResourceExhausted, fmt::format("[embed] a line holds at most {} bytes; got {}", limits::kRequestBytesMax,
                                                                line.size())};
      }
      batch.push_back(line);
      if (batch.size() == kBatchTexts) {
        ACC_TRY_VOID(embed(console, endpoint, batch));
        batch.clear();
      }
    }
    if (signals_received() > 0) return Error{ErrorCode::kCancelled, "[embed] stopped by a signal"};
    if (batch.empty()) return {};
    return embed(console, endpoint, batch);
  }
  Result<void> embed(Console& console, Endpoint& endpoint, const std::vector<std::string>& texts) {
    const std::vector<EmbedInput> inputs(texts.begin(), texts.end());
    ACC_TRY(EmbedReply reply, endpoint.embed(inputs, &stop_flag()));
    prompt_tokens_ += reply.prompt_tokens;
    for (std::vector<float>& vector : reply.vectors) {
      if (json_) vectors_.push_back(std::move(vector));
      else if (!console.put(dump_json(Json(vector)) + "\n")) return console.output_error();
    }
    return {};
  }

  std::string model_;
  std::vector<std::string> texts_;
  std::vector<std::vector<float>> vectors_;
  uint64_t prompt_tokens_ = 0;
  bool json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_embed_verb() { return std::make_unique<EmbedVerb>(); }

}  // namespace accelerate
