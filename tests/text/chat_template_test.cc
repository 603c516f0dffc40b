#include "accelerate/text/chat_template.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "accelerate/base/file.h"
#include "accelerate/text/limits.h"
#include "tests/text/real_tokenizers.h"

namespace accelerate {
namespace {

using Json = nlohmann::ordered_json;  // templates print members in the order of the file

Json golden(const std::string& name) {
  const auto text = read_file(std::filesystem::path(ACC_TEST_DATA) / "templates" / (name + ".json"), testing::kTestFileBytesMax);
  EXPECT_TRUE(text.ok());
  return text.ok() ? Json::parse(*text) : Json::object();
}

std::optional<std::string> optional_text(const Json& object, const char* name) {
  return object.contains(name) ? std::optional<std::string>(object[name]) : std::nullopt;
}

class GoldenTemplate : public ::testing::TestWithParam<const char*> {
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};
INSTANTIATE_TEST_SUITE_P(All, GoldenTemplate,
                         ::testing::Values("smollm2", "qwen3", "gemma", "gemma3", "llama3", "llama31", "mistral", "mistral_tools", "mistral_args", "machinery", "printing"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GoldenTemplate, RendersAsTransformersDoes) {
  const Json data = golden(GetParam());
  const auto chat = ChatTemplate::create(std::string(data["template"]), ChatTemplateTokens{optional_text(data, "bos_token"), optional_text(data, "eos_token")});
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  ASSERT_GT(data["cases"].size(), 20u);
  for (const Json& entry : data["cases"]) {
    RenderOptions options{.add_generation_prompt = entry["add_generation_prompt"], .now_unix_s = data["now"].get<int64_t>()};
    if (entry.contains("tools")) options.tools_json = entry["tools"].dump();
    if (entry.contains("extra")) options.extra_json = entry["extra"].dump();
    const auto rendered = chat->render_json(entry["messages"].dump(), options);
    if (entry.contains("error")) {
      ASSERT_FALSE(rendered.ok()) << entry["name"];
      EXPECT_EQ(rendered.error().code, ErrorCode::kInvalidArgument);
      EXPECT_TRUE(rendered.error().message.ends_with("got: " + std::string(entry["error"]))) << rendered.error().message;
      continue;
    }
    ASSERT_TRUE(rendered.ok()) << entry["name"] << ": " << rendered.error().message;
    EXPECT_EQ(*rendered, std::string(entry["rendered"])) << entry["name"];
  }
}

ChatTemplate compiled(std::string_view source) {
  auto chat = ChatTemplate::create(source, ChatTemplateTokens{.bos_token = "<s>", .eos_token = {}});
  EXPECT_TRUE(chat.ok()) << (chat.ok() ? "" : chat.error().message);
  return *chat;
}

TEST(ChatTemplate, PlainMessagesAndTheirOrderOfMembers) {
  const std::vector<Message> messages = {{"system", "Be \"brief\"."}, {"user", "你好\n"}};
  EXPECT_EQ(*compiled("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m['content'].strip() }};{% endfor %}").render(messages),
            "<s>system: Be \"brief\".;user: 你好;");
  EXPECT_EQ(*compiled("{{ messages[1]|tojson }}{{ eos_token is defined }}").render(messages),
            "{\"role\": \"user\", \"content\": \"你好\\n\"}False");
}

TEST(ChatTemplate, JsonAsPythonWritesIt) {
  const auto render = [](const std::string& expression, const std::string& value) {
    return *compiled("{{ v|" + expression + " }}").render_json("[]", {.extra_json = "{\"v\": " + value + "}"});
  };
  EXPECT_EQ(render("tojson", R"({"b": [1, 2.0, true, null], "a": {}})"), R"({"b": [1, 2.0, true, null], "a": {}})");
  EXPECT_EQ(render("tojson(sort_keys=true)", R"({"b": 1, "a": 2})"), R"({"a": 2, "b": 1})");
  EXPECT_EQ(render("tojson(separators=(',', ':'))", R"({"b": [1, 2]})"), R"({"b":[1,2]})");
  EXPECT_EQ(render("tojson(indent=2)", R"({"b": [1, {}], "c": []})"), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"c\": []\n}");
  EXPECT_EQ(render("tojson", "\"<é&'\\u0007\""), "\"<é&'\\u0007\"");
  EXPECT_EQ(render("tojson(ensure_ascii=true)", "\"é😀\""), "\"\\u00e9\\ud83d\\ude00\"");
  EXPECT_EQ(render("tojson", "[1e16, 1e22, 1.5e-7, 0.0001, 123456789.125, -0.0, 1e15]"),
            "[1e+16, 1e+22, 1.5e-07, 0.0001, 123456789.125, -0.0, 1000000000000000.0]");
}

TEST(ChatTemplate, GenerationTagsRenderAsTheirBody) {
  const std::vector<Message> messages = {{"assistant", "yes"}};
  EXPECT_EQ(*compiled("a {%- generation -%} {{ messages[0].content }} {% endgeneration %}b").render(messages), "ayes b");
}

TEST(ChatTemplate, MissingAndBrokenTemplatesSaySo) {
  const auto missing = ChatTemplate::create("", ChatTemplateTokens{});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(missing.error().message.find("model has no chat template"), std::string::npos);
  EXPECT_NE(missing.error().message.find("--raw"), std::string::npos);
  for (const std::string source : {"{% for m in %}", "{{ open", "{% nosuchtag %}", "\xFF", "{% include 'x' ", "{%", "{%}", "{% if true %}{%}"}) {
    const auto broken = ChatTemplate::create(source, ChatTemplateTokens{});
    ASSERT_FALSE(broken.ok()) << source;
    EXPECT_EQ(broken.error().code, ErrorCode::kInvalidArgument) << source;
  }
  EXPECT_EQ(ChatTemplate::create(std::string(limits::kChatTemplateBytesMax + 1, 'x'), ChatTemplateTokens{}).error().code,
            ErrorCode::kResourceExhausted);
  EXPECT_FALSE(ChatTemplate::create(std::string(100000, '(').insert(0, "{{ "), ChatTemplateTokens{}).ok());
}

TEST(ChatTemplate, FailuresWhileRenderingAreErrors) {
  for (const std::string source : {"{{ missing.member.of }}", "{{ 1 + none }}", "{{ nosuchfunction() }}", "{{ 'a'|nosuchfilter }}",
                                   "{% include 'other' %}", "{{ messages|tojson(nosuch=1) }}", "{{ strftime_now('x' * 300) }}"}) {
    const auto chat = ChatTemplate::create(source, ChatTemplateTokens{});
    if (!chat.ok()) continue;  // found at compile time: as good
    const auto rendered = chat->render({});
    ASSERT_FALSE(rendered.ok()) << source << " gave " << *rendered;
    EXPECT_EQ(rendered.error().code, ErrorCode::kInvalidArgument) << source;
  }
}

TEST(ChatTemplate, InputsMustBeJsonOfTheRightType) {
  const ChatTemplate chat = compiled("{{ messages|length }}{{ extra }}");
  EXPECT_EQ(*chat.render_json(" [] ", {.extra_json = " { \"extra\" : 5 } "}), "05");
  EXPECT_EQ(*chat.render_json("[]", {.extra_json = "{ }"}), "0");
  for (const std::string broken : {"", "{}", "[", "[],\"extra\":1", "[]]", "5"}) {
    EXPECT_EQ(chat.render_json(broken).error().code, ErrorCode::kInvalidArgument) << broken;
    if (!broken.empty()) {
      EXPECT_EQ(chat.render_json("[]", {.tools_json = broken}).error().code, ErrorCode::kInvalidArgument) << broken;
    }
  }
  EXPECT_EQ(chat.render_json("[]", {.extra_json = "[1]"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(chat.render_json("[" + std::string(100000, '[') + std::string(100000, ']') + "]").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(*chat.render(std::vector<Message>{{"user", "bad \xFF utf-8"}}), "1");
}

double ms_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

TEST(ChatTemplate, HostileTemplatesNeitherHangNorTakeTheMemory) {
  const std::string loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% set x = a %}{% endfor %}{% endfor %}";
  const std::string doubling = "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s|length }}";
  const std::string slow_steps = "{% for a in range(99999) %}{% set x = range(99999)|list|sort|reverse|list %}{% endfor %}";
  const std::string recursion = "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}";
  const std::string nesting = "{% set n = namespace(s=[]) %}{% for i in range(99999) %}{% for j in range(20) %}{% set n.s = [n.s] %}{% endfor %}{% endfor %}{{ missing.x.y }}";
  for (const std::string& source : {loop, doubling, slow_steps, recursion, nesting}) {
    const ChatTemplate chat = compiled(source);
    const auto begin = std::chrono::steady_clock::now();
    const auto rendered = chat.render({});
    ASSERT_FALSE(rendered.ok()) << source;
    EXPECT_LT(ms_since(begin), 4.0 * static_cast<double>(limits::kRenderMs)) << source;
    std::printf("%.0f ms: %s\n", ms_since(begin), rendered.error().message.c_str());
  }
}

TEST(ChatTemplate, ATemplateThatBreaksItsLimitsThriceIsRefusedFromThenOn) {
  const ChatTemplate chat = compiled("{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(chat.render({}).error().code, ErrorCode::kResourceExhausted);
  const auto refused = chat.render({});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_NE(refused.error().message.find("earlier renderings"), std::string::npos);
}

TEST(ChatTemplate, LongChatsRender) {
  const ChatTemplate chat = compiled(std::string(golden("qwen3")["template"]));
  std::vector<Message> messages;
  for (int i = 0; i < 2000; ++i) messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(2000, 'x')});
  const auto rendered = chat.render(messages);
  ASSERT_TRUE(rendered.ok()) << rendered.error().message;
  EXPECT_GT(rendered->size(), 4'000'000u);
}

TEST(ChatTemplate, ThreadsShareOne) {
  const ChatTemplate chat = compiled("{% for m in messages %}{{ m.content }}{% endfor %}");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::vector<Message> messages = {{"user", std::to_string(i)}};
      for (int round = 0; round < 50; ++round) {
        if (*chat.render(messages) != std::to_string(i)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace accelerate
