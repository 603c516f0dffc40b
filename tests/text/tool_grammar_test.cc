#include "accelerate/text/tool_grammar.h"

#include <gtest/gtest.h>

#include "accelerate/text/grammar.h"
#include "accelerate/text/tool_calls.h"
#include "tests/text/grammar_walk.h"

namespace accelerate {
namespace {

constexpr std::array kStyles = {ToolStyle::kHermes, ToolStyle::kMistral, ToolStyle::kMistralArgs, ToolStyle::kLlama3, ToolStyle::kJson};

ToolOptions options(ToolChoice choice, bool strict = true) {
  ToolOptions tools;
  tools.tools = {{.name = "f", .description = "", .parameters = R"({"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],"additionalProperties":false})", .strict = strict},
                 {.name = "g", .description = "", .parameters = "", .strict = false}};
  tools.choice = choice;
  tools.name = choice == ToolChoice::kNamed ? "f" : "";
  return tools;
}

// Markers as words, or all as one control token that this vocabulary has.
class Walker {
 public:
  Walker(ToolStyle style, const ToolOptions& tools, bool control = false, std::string_view answer_schema = "", bool single_call = false, bool loose = true)
      : style_(style), control_(control) {
    ToolGrammar choice{.style = style, .tools = tools, .single_call = single_call, .loose_schemas = loose, .answer_schema = answer_schema};
    choice.word = [&](std::string_view word) -> MarkerSpelling {
      const bool opener = word == tool_markers(style).open;
      if (control && opener) return {fmt::format("<[{}]>", *tokenizer_->find("<|tool|>")), true};
      return {"\"" + std::string(word) + "\"", false};
    };
    lark_ = tool_grammar(choice);
  }
  bool allows(const std::string& answer) const {
    auto matcher = engine()->matcher({Grammar::Kind::kLark, lark_});
    EXPECT_TRUE(matcher) << to_string(matcher.error()) << "\n" << lark_;
    if (!matcher) return false;
    std::vector<uint32_t> ids;
    std::string_view rest = answer;
    const std::string open(tool_markers(style_).open);
    for (size_t at = open.empty() || !control_ ? std::string::npos : rest.find(open); at != std::string_view::npos; at = rest.find(open)) {
      for (const uint32_t id : testing::spelled(*tokenizer_, rest.substr(0, at))) ids.push_back(id);
      ids.push_back(*tokenizer_->find("<|tool|>"));
      rest.remove_prefix(at + open.size());
    }
    for (const uint32_t id : testing::spelled(*tokenizer_, rest)) ids.push_back(id);
    return testing::walks(**matcher, *tokenizer_, ids);
  }
  const std::string& lark() const { return lark_; }

 private:
  static std::shared_ptr<GrammarEngine> engine() {
    static const std::shared_ptr<GrammarEngine> made = GrammarEngine::create(testing::byte_tokenizer());
    return made;
  }
  std::shared_ptr<const Tokenizer> tokenizer_ = testing::byte_tokenizer();
  ToolStyle style_;
  bool control_;
  std::string lark_;
};

// An answer of calls as the style writes them.
std::string answer(ToolStyle style, const std::vector<std::pair<std::string, std::string>>& calls) {
  const ToolMarkers markers = tool_markers(style);
  std::string out;
  for (const auto& [name, arguments] : calls) {
    const bool first = out.empty();
    const std::string object = fmt::format(R"({{"name": "{}", "{}": {}}})", name, markers.arguments, arguments);
    switch (style) {
      case ToolStyle::kHermes: out += fmt::format("{}<tool_call>\n{}\n</tool_call>", first ? "" : "\n", object); break;
      case ToolStyle::kMistral: out += (first ? "[TOOL_CALLS] [" : ", ") + object; break;
      case ToolStyle::kMistralArgs: out += fmt::format("[TOOL_CALLS]{}[ARGS]{}", name, arguments); break;
      case ToolStyle::kLlama3: out += (first ? "" : "; ") + object; break;
      case ToolStyle::kJson: out += (first ? "" : "\n") + object; break;
    }
  }
  return style == ToolStyle::kMistral ? out + "]" : out;
}

TEST(ToolGrammar, ForcedCallsAreCallsAndNothingElse) {
  for (const ToolStyle style : kStyles) {
    for (const bool control : {false, true}) {
      const ToolOptions required = options(ToolChoice::kRequired), named = options(ToolChoice::kNamed);
      const Walker any(style, required, control), one(style, named, control), single(style, required, control, "", true);
      const std::string f = answer(style, {{"f", R"({"x": 1})"}}), g = answer(style, {{"g", R"({"any": ["thing"]})"}});
      const std::string both = answer(style, {{"f", R"({"x": 1})"}, {"g", "{}"}});
      EXPECT_TRUE(any.allows(f)) << any.lark();
      EXPECT_TRUE(any.allows(g)) << any.lark();
      EXPECT_TRUE(any.allows(both)) << any.lark();
      EXPECT_TRUE(one.allows(f)) << one.lark();
      EXPECT_FALSE(one.allows(g)) << "the other tool";
      EXPECT_FALSE(one.allows(both)) << "named is one call";
      EXPECT_TRUE(single.allows(g));
      EXPECT_FALSE(single.allows(both));
      EXPECT_FALSE(any.allows("Text"));
      EXPECT_FALSE(any.allows("Text " + f));
      EXPECT_FALSE(any.allows(""));
      EXPECT_FALSE(any.allows(answer(style, {{"f", R"({"x": "1"})"}}))) << "not of its schema";
      EXPECT_FALSE(any.allows(answer(style, {{"f", "{}"}})));
      EXPECT_FALSE(any.allows(answer(style, {{"h", "{}"}})));
      std::vector<std::pair<std::string, std::string>> many(kForcedCallsMax, {"g", "{}"});
      EXPECT_TRUE(any.allows(answer(style, many)));
      many.emplace_back("g", "{}");
      EXPECT_FALSE(any.allows(answer(style, many)));
    }
  }
}

TEST(ToolGrammar, AutomaticIsTextOrCallsThatKeepToTheirSchema) {
  for (const ToolStyle style : kStyles) {
    for (const bool control : {false, true}) {
      const ToolOptions tools = options(ToolChoice::kAuto);
      const Walker walker(style, tools, control);
      const std::string f = answer(style, {{"f", R"({"x": 1})"}});
      EXPECT_TRUE(walker.allows("Plain\ntext, ünïcode <tool [TOOL")) << walker.lark();
      EXPECT_TRUE(walker.allows("")) << walker.lark();
      EXPECT_TRUE(walker.allows(f)) << walker.lark();
      EXPECT_TRUE(walker.allows(answer(style, {{"f", R"({"x": 1})"}, {"g", "{}"}})));
      EXPECT_FALSE(walker.allows(answer(style, {{"f", R"({"x": "no"})"}}))) << walker.lark();
      EXPECT_FALSE(walker.allows(answer(style, {{"h", "{}"}})));
      if (!tool_markers(style).bare) {
        EXPECT_TRUE(walker.allows("Let me see.\n" + f)) << walker.lark();
        EXPECT_FALSE(walker.allows("Let me see.\n" + answer(style, {{"f", "{}"}}))) << walker.lark();
        EXPECT_TRUE(walker.allows("{\"json\": 1}"));
      } else {
        EXPECT_TRUE(walker.allows(" \n text {\"json\": 1}"));
        EXPECT_FALSE(walker.allows(" \n {\"json\": 1}")) << "what begins as a call is one";
      }
    }
  }
}

TEST(ToolGrammar, ASchemaForTheTextStandsBesideCalls) {
  for (const ToolStyle style : kStyles) {
    const ToolOptions tools = options(ToolChoice::kAuto, false);
    const Walker walker(style, tools, false, R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false})");
    EXPECT_TRUE(walker.allows(R"({"city": "Oslo"})")) << walker.lark();
    EXPECT_TRUE(walker.allows(answer(style, {{"f", R"({"x": 1})"}}))) << walker.lark();
    EXPECT_FALSE(walker.allows("Text"));
    EXPECT_FALSE(walker.allows(R"({"town": "Oslo"})"));
  }
}

TEST(ToolGrammar, LooseSchemasAreObjects) {
  for (const ToolStyle style : kStyles) {
    const ToolOptions tools = options(ToolChoice::kRequired, false), strict = options(ToolChoice::kRequired);
    EXPECT_FALSE(Walker(style, tools).allows(answer(style, {{"f", R"({"y": 1})"}}))) << "enforced where it can be";
    EXPECT_TRUE(Walker(style, tools, false, "", false, false).allows(answer(style, {{"f", R"({"y": 1})"}})));
    EXPECT_FALSE(Walker(style, strict, false, "", false, false).allows(answer(style, {{"f", R"({"y": 1})"}}))) << "strict is strict";
  }
}

// Whatever the grammar's own words are, the parser reads them.
TEST(ToolGrammar, TheParserReadsWhatTheGrammarWrites) {
  for (const ToolStyle style : kStyles) {
    ToolCallParser parser(style, {"f", "g"});
    const auto step = parser.push(answer(style, {{"f", R"({"x": 1})"}, {"g", "{}"}}));
    EXPECT_EQ(parser.completed(), 2u) << tool_style_name(style);
    EXPECT_EQ(step.text + parser.finish().text, "");
  }
}

}  // namespace
}  // namespace accelerate
