// Time of a grammar's mask, vocabulary and row of logits included, step by step along answers of real shapes.
//
//   build/release/mask_bench ~/.local/share/ipfs-accelerate/models/smollm2/*.gguf
//
// Each schema is compiled fresh and answered 20 times: by its sample, tokenized as the model would, and by tokens drawn at random
// from the mask (at most 300), which meet states no sane answer does. Times are the thread's own CPU time: what others take of a
// busy machine is not in them.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "accelerate/formats/open.h"
#include "accelerate/text/grammar.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAnswers = 20;
constexpr size_t kRandomTokensMax = 300;

struct Sample {
  const char* name;
  const char* schema;
  const char* answer;
};
const Sample kSamples[] = {
    {"any object", R"({"type": "object"})", R"({"name": "Ada Lovelace", "born": 1815, "fields": ["mathematics", "computing"], "alive": false, "n": {"x": [1.5, -2e3, null]}})"},
    {"strings and numbers", R"({"type": "object", "properties": {"name": {"type": "string"}, "email": {"type": "string", "format": "email"}, "age": {"type": "integer",
      "minimum": 0, "maximum": 150}, "score": {"type": "number"}, "born": {"type": "string", "format": "date"}}, "required": ["name", "email", "age", "score", "born"],
      "additionalProperties": false})", R"({"name": "Ada \"Countess\" Lovelace", "email": "ada.lovelace@example.com", "age": 36, "score": 0.9375, "born": "1815-12-10"})"},
    {"enums", R"({"type": "object", "properties": {"country": {"enum": ["Argentina", "Australia", "Austria", "Belgium", "Brazil", "Canada", "Chile", "China", "Denmark",
      "Egypt", "Finland", "France", "Germany", "Greece", "India", "Ireland", "Italy", "Japan", "Kenya", "Mexico", "Norway", "Peru", "Poland", "Spain", "Sweden"]},
      "size": {"enum": ["small", "medium", "large"]}}, "required": ["country", "size"], "additionalProperties": false})", R"({"country": "Germany", "size": "medium"})"},
    {"nested arrays", R"({"type": "object", "properties": {"steps": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"explanation": {"type": "string"},
      "output": {"type": "string", "maxLength": 200}, "path": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}}, "required": ["explanation", "output", "path"],
      "additionalProperties": false}}, "answer": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["steps", "answer"], "additionalProperties": false})",
     R"({"steps": [{"explanation": "Subtract 7 from both sides.", "output": "8x = -30", "path": [[1, 2], [3]]}, {"explanation": "Divide.", "output": "x = -15/4", "path": []}], "answer": "x = -3.75"})"},
    {"recursive", R"({"$defs": {"node": {"type": "object", "properties": {"value": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
      "required": ["value", "children"], "additionalProperties": false}}, "$ref": "#/$defs/node"})",
     R"({"value": "root", "children": [{"value": "left", "children": []}, {"value": "right", "children": [{"value": "leaf", "children": []}]}]})"},
    {"pattern", R"({"type": "object", "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4,8}$"}, "slug": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$", "maxLength": 40}},
      "required": ["sku", "slug"], "additionalProperties": false})", R"({"sku": "ABC-12345", "slug": "a-very-fine-thing"})"},
};

struct Times {
  std::vector<double> us;
  void print(const char* what) {
    std::sort(us.begin(), us.end());
    const auto at = [&](double share) { return us[std::min(us.size() - 1, static_cast<size_t>(share * static_cast<double>(us.size())))]; };
    std::printf("  %-9s %6zu masks  p50 %7.1f us  p99 %7.1f us  worst %7.1f us\n", what, us.size(), at(0.5), at(0.99), us.back());
  }
};

double thread_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

// The row's time is in it: it is what a step pays.
bool timed_mask(GrammarMatcher& matcher, std::vector<float>& row, Times& times) {
  std::fill(row.begin(), row.end(), 0.0f);
  const double begin_us = thread_us();
  const bool ok = matcher.mask(row).ok();
  times.us.push_back(thread_us() - begin_us);
  return ok;
}

int run(const std::shared_ptr<const Tokenizer>& tokenizer) {
  std::vector<float> row(tokenizer->size());
  std::mt19937 random(1);
  Times all;
  for (const Sample& sample : kSamples) {
    Times spoken, drawn;
    const auto engine = GrammarEngine::create(tokenizer);
    if (!engine->matcher({Grammar::Kind::kRegex, "a"})) return 1;  // the trie
    const auto begin = Clock::now();
    const Grammar grammar{Grammar::Kind::kJsonSchema, sample.schema};
    if (auto first = engine->matcher(grammar); !first) return std::fprintf(stderr, "%s\n", first.error().message.c_str()), 1;
    const double compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    const std::vector<uint32_t> tokens = *tokenizer->encode(sample.answer, {.add_special = false});
    for (int answer = 0; answer < kAnswers; ++answer) {
      auto matcher = *engine->matcher(grammar);
      for (const uint32_t token : tokens) {
        if (!timed_mask(*matcher, row, spoken) || row[token] != 0.0f || !matcher->accept(token)) return std::fprintf(stderr, "%s: refused\n", sample.name), 1;
      }
      matcher = *engine->matcher(grammar);
      for (size_t i = 0; i < kRandomTokensMax && !matcher->must_end(); ++i) {
        if (!timed_mask(*matcher, row, drawn)) return 1;
        std::vector<uint32_t> allowed;
        for (uint32_t id = 0; id < row.size(); ++id) {
          if (row[id] == 0.0f && !tokenizer->is_end_of_generation(id)) allowed.push_back(id);
        }
        if (allowed.empty() || !matcher->accept(allowed[random() % allowed.size()])) break;
      }
    }
    std::printf("%s: compiled in %.2f ms\n", sample.name, compile_ms);
    for (const Times* times : {&spoken, &drawn}) all.us.insert(all.us.end(), times->us.begin(), times->us.end());
    spoken.print("sample");
    drawn.print("random");
  }
  std::printf("all\n");
  all.print("");
  return 0;
}

}  // namespace
}  // namespace accelerate

int main(int argc, char** argv) {
  using namespace accelerate;
  if (argc != 2) return std::fprintf(stderr, "mask_bench MODEL\n"), 2;
  const auto model = open_model(argv[1]);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 1;
  const auto begin = std::chrono::steady_clock::now();
  const auto tokenizer = Tokenizer::create(*(*model)->tokenizer);
  if (!tokenizer) return std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str()), 1;
  const auto made = std::chrono::steady_clock::now();
  if (!GrammarEngine::create(*tokenizer)->matcher({Grammar::Kind::kRegex, "a"})) return 1;
  const auto ms = [](auto from, auto to) { return std::chrono::duration<double, std::milli>(to - from).count(); };
  std::printf("%u tokens; tokenizer %.0f ms, trie and first grammar %.0f ms\n", (*tokenizer)->size(), ms(begin, made), ms(made, std::chrono::steady_clock::now()));
  return run(*tokenizer);
}
