#include "accelerate/text/grammar.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "tests/text/grammar_walk.h"
#include "tests/text/real_tokenizers.h"

namespace accelerate {
namespace {

using testing::byte_tokenizer;
using testing::spelled;
using testing::walks;

class GrammarTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<GrammarMatcher>> schema(const std::string& text) { return engine().matcher({Grammar::Kind::kJsonSchema, text}); }
  Result<std::unique_ptr<GrammarMatcher>> lark(const std::string& text) { return engine().matcher({Grammar::Kind::kLark, text}); }
  static GrammarEngine& engine() {
    static const std::shared_ptr<GrammarEngine> engine = GrammarEngine::create(byte_tokenizer());
    return *engine;
  }
  // Whether `text` can come out, spelled by bytes and in some other ways, which must not differ.
  bool can_say(const Grammar& grammar, const std::string& text) {
    auto matcher = engine().matcher(grammar);
    EXPECT_TRUE(matcher.ok()) << matcher.error().message;
    if (!matcher) return false;
    const bool by_bytes = walks(**matcher, *byte_tokenizer(), spelled(*byte_tokenizer(), text));
    std::mt19937 random(7);
    for (int i = 0; i < 3; ++i) {
      auto other = engine().matcher(grammar);
      const std::vector<uint32_t> ids = spelled(*byte_tokenizer(), text, &random);
      EXPECT_EQ(walks(**other, *byte_tokenizer(), ids), by_bytes) << text << " spelled by " << ids.size() << " tokens";
    }
    return by_bytes;
  }
  bool can_say(const std::string& schema_text, const std::string& text) { return can_say({Grammar::Kind::kJsonSchema, schema_text}, text); }
  std::string refusal(const std::string& schema_text) {
    const auto matcher = schema(schema_text);
    return matcher.ok() ? "" : to_string(matcher.error());
  }
};

TEST_F(GrammarTest, AnObjectComesOutInItsFormOnly) {
  const std::string person = R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                                "required": ["name", "age"], "additionalProperties": false})";
  EXPECT_TRUE(can_say(person, R"({"name":"Ada","age":36})"));
  EXPECT_TRUE(can_say(person, R"({"name": "Ada", "age": 36})"));
  EXPECT_TRUE(can_say(person, R"({"name": "本 é \"q\" \\ \n", "age":-1})"));
  EXPECT_FALSE(can_say(person, R"({"name":  "Ada","age":36})")) << "one space at most";
  EXPECT_FALSE(can_say(person, "{\"name\":\"Ada\",\n\"age\":36}"));
  EXPECT_FALSE(can_say(person, R"({ "name":"Ada","age":36})"));
  EXPECT_FALSE(can_say(person, R"({"name":"Ada","age":36} )"));
  EXPECT_FALSE(can_say(person, R"( {"name":"Ada","age":36})"));
  EXPECT_FALSE(can_say(person, R"({"age":36,"name":"Ada"})")) << "the schema's order";
  EXPECT_FALSE(can_say(person, R"({"name":"Ada"})"));
  EXPECT_FALSE(can_say(person, R"({"name":"Ada","age":"36"})"));
  EXPECT_FALSE(can_say(person, R"({"name":"Ada","age":36,"more":1})"));
  EXPECT_FALSE(can_say(person, "{\"name\":\"A\x01\",\"age\":36}"));
  EXPECT_FALSE(can_say(person, R"({"name":"\u0041","age":36})")) << "one spelling of every string";
}

TEST_F(GrammarTest, EndsWhenCompleteAndNotBefore) {
  auto matcher = schema(R"({"enum": ["yes", "no"]})");
  ASSERT_TRUE(matcher) << matcher.error().message;
  const Tokenizer& tokenizer = *byte_tokenizer();
  for (const uint32_t id : spelled(tokenizer, "\"yes\"")) {
    EXPECT_FALSE((*matcher)->may_end());
    EXPECT_FALSE(testing::allows(**matcher, tokenizer.size(), *tokenizer.eos()));
    ASSERT_TRUE((*matcher)->accept(id));
  }
  EXPECT_TRUE((*matcher)->may_end());
  EXPECT_TRUE((*matcher)->must_end());
  auto number = schema(R"({"type": "integer"})");
  ASSERT_TRUE((*number)->accept('4'));
  EXPECT_TRUE((*number)->may_end());
  EXPECT_FALSE((*number)->must_end()) << "digits may follow";
  EXPECT_TRUE(testing::allows(**number, tokenizer.size(), *tokenizer.eos()));
}

TEST_F(GrammarTest, MasksTouchOnlyWhatIsForbidden) {
  auto matcher = schema(R"({"enum": [true]})");
  std::vector<float> row(byte_tokenizer()->size() + 40, 1.5f);  // a model may have more rows than its tokenizer has tokens
  ASSERT_TRUE((*matcher)->mask(row));
  size_t allowed = 0;
  for (size_t id = 0; id < row.size(); ++id) {
    if (row[id] == 1.5f) ++allowed;
    else EXPECT_EQ(row[id], -std::numeric_limits<float>::infinity());
  }
  EXPECT_EQ(allowed, 2u) << "t and true";
  EXPECT_EQ(row[*byte_tokenizer()->find("true")], 1.5f);
  EXPECT_FALSE((*matcher)->accept('x'));
  EXPECT_FALSE((*matcher)->mask(row)) << "broken for good, and says so";
}

TEST_F(GrammarTest, MatchersOfOneGrammarAreIndependent) {
  auto one = schema(R"({"type": "string"})"), two = schema(R"({"type": "string"})");
  ASSERT_TRUE((*one)->accept('"'));
  EXPECT_TRUE(testing::allows(**two, byte_tokenizer()->size(), '"'));
  EXPECT_FALSE(testing::allows(**two, byte_tokenizer()->size(), 'a'));
  EXPECT_TRUE(testing::allows(**one, byte_tokenizer()->size(), 'a'));
}

TEST_F(GrammarTest, AnEngineServesThreads) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) EXPECT_TRUE(can_say(fmt::format(R"({{"enum": ["v{}"]}})", (t + i) % 5), fmt::format("\"v{}\"", (t + i) % 5)));
    });
  }
}

TEST_F(GrammarTest, MatchersOutliveTheirEngine) {
  auto engine = GrammarEngine::create(byte_tokenizer());
  auto matcher = engine->matcher({Grammar::Kind::kJsonSchema, R"({"type": "boolean"})"});
  engine.reset();
  ASSERT_TRUE(matcher);
  EXPECT_TRUE(walks(**matcher, *byte_tokenizer(), spelled(*byte_tokenizer(), "false")));
}

TEST_F(GrammarTest, RegularExpressions) {
  const Grammar digits{Grammar::Kind::kRegex, "[0-9]{2,3}/(a|b)*"};
  EXPECT_TRUE(can_say(digits, "12/"));
  EXPECT_TRUE(can_say(digits, "123/abba"));
  EXPECT_FALSE(can_say(digits, "1/"));
  EXPECT_FALSE(can_say(digits, "12/c"));
  for (const char* bad : {"", "(", "a\\", "a(?=b)"}) EXPECT_FALSE(engine().matcher({Grammar::Kind::kRegex, bad})) << bad;
}

TEST_F(GrammarTest, LarkWithSpecialTokensAndLazyTriggers) {
  const Tokenizer& tokenizer = *byte_tokenizer();
  const uint32_t tool = *tokenizer.find("<|tool|>");
  const std::string call = "start: /[a-z ]*/ (<|tool|> %json {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}, "
                           "\"required\": [\"a\"], \"additionalProperties\": false})*";
  std::vector<uint32_t> ids = spelled(tokenizer, "let me see ");
  ids.push_back(tool);
  for (const uint32_t id : spelled(tokenizer, "{\"a\": 1}")) ids.push_back(id);
  auto matcher = lark(call);
  ASSERT_TRUE(matcher) << matcher.error().message;
  EXPECT_TRUE(walks(**matcher, tokenizer, ids));
  EXPECT_FALSE(can_say({Grammar::Kind::kLark, call}, "see <|tool|>{\"a\": 1}")) << "typed text is no special token";
  auto by_id = lark(fmt::format("start: <[{}]> \"x\"", tool));
  ASSERT_TRUE(by_id) << by_id.error().message;
  EXPECT_TRUE(walks(**by_id, tokenizer, {tool, 'x'}));
  EXPECT_FALSE(lark("start: <|nobody|>"));
  const Grammar lazy{Grammar::Kind::kLark, "start: (TEXT | calls)\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*<call>(.|\\n)*/\n"
                                           "calls: head %json {\"type\": \"integer\"} \"</call>\"\nhead[lazy]: /(.|\\n)*/ \"<call>\""};
  EXPECT_TRUE(can_say(lazy, "only text"));
  EXPECT_TRUE(can_say(lazy, "text <call>12</call>"));
  EXPECT_FALSE(can_say(lazy, "text <call>twelve</call>"));
  EXPECT_FALSE(can_say(lazy, "text <call>"));
}

TEST_F(GrammarTest, SchemasInLarkAreCheckedAndHaveTheSameForm) {
  const auto bad = lark("start: %json {\"type\": \"object\", \"not\": {}}");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("'not' at #"), std::string::npos) << bad.error().message;
  EXPECT_FALSE(lark("start: %json 7"));
  EXPECT_FALSE(lark("start: %json {\"x-guidance\": {\"lenient\": true}, \"not\": {}}"));
  const Grammar list{Grammar::Kind::kLark, "start: %json {\"type\": \"array\"}"};
  EXPECT_TRUE(can_say(list, "[1, [2]]"));
  EXPECT_FALSE(can_say(list, "[ 1]"));
  // What only looks like it is left alone.
  const Grammar looks{Grammar::Kind::kLark, "start: \"%json {}\" // %json {\"not\": {}}\n  | /%json 7\\// # %json {\n"};
  EXPECT_TRUE(can_say(looks, "%json {}"));
  EXPECT_TRUE(can_say(looks, "%json 7/"));
}

TEST_F(GrammarTest, ErrorsGiveLlguidancesReason) {
  const auto bad = lark("start: nowhere");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(bad.error().message.find("nowhere"), std::string::npos) << bad.error().message;
  EXPECT_EQ(bad.error().message.find("backtrace"), std::string::npos);
  EXPECT_NE(refusal("{").find("not JSON"), std::string::npos);
  EXPECT_NE(refusal(R"({"type": "string", "minLength": 3, "maxLength": 2})").find("minLength"), std::string::npos);
  EXPECT_NE(refusal("false").find("allows nothing"), std::string::npos);
  EXPECT_NE(refusal(R"({"$ref": "#"})"), "") << "no answer ever";
  EXPECT_TRUE(can_say("true", "[null]"));
  EXPECT_TRUE(can_say("{}", "{\"a\": [1.5e3]}"));
}

TEST_F(GrammarTest, TokenizersWithoutBytesAreRefused) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "minilm");
  const auto matcher = GrammarEngine::create(tokenizer)->matcher({Grammar::Kind::kJsonSchema, "{}"});
  ASSERT_FALSE(matcher);
  EXPECT_EQ(matcher.error().code, ErrorCode::kUnimplemented);
}

}  // namespace
}  // namespace accelerate
