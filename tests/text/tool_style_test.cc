#include "accelerate/text/tool_style.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "accelerate/base/file.h"

namespace accelerate {
namespace {

std::string template_of(const std::string& name) {
  const auto text = read_file(std::filesystem::path(ACC_TEST_DATA) / "templates" / (name + ".json"), 1 << 24);
  EXPECT_TRUE(text.ok());
  return nlohmann::json::parse(*text)["template"];
}

TEST(ToolStyle, FamiliesByTheirTemplates) {
  EXPECT_EQ(tool_style_of(template_of("qwen3")), ToolStyle::kHermes);
  EXPECT_EQ(tool_style_of(template_of("mistral")), ToolStyle::kMistral);
  EXPECT_EQ(tool_style_of(template_of("mistral_args")), ToolStyle::kMistralArgs);
  EXPECT_EQ(tool_style_of(template_of("llama31")), ToolStyle::kLlama3);
  EXPECT_EQ(tool_style_of(template_of("smollm2")), ToolStyle::kJson);
  EXPECT_EQ(tool_style_of(template_of("gemma3")), ToolStyle::kJson);
  EXPECT_EQ(tool_style_of("<tool_call>\n<function=f>\n<parameter=x>"), ToolStyle::kJson) << "XML is not parsed";
  EXPECT_EQ(tool_style_of("{{ '<|python_tag|>' }}"), ToolStyle::kLlama3);
  EXPECT_EQ(tool_style_name(ToolStyle::kMistralArgs), "mistral-args");
}

TEST(ToolStyle, IdsAreWhatTheTemplatesTake) {
  EXPECT_EQ(make_tool_call_id(ToolStyle::kHermes).size(), 29u);
  EXPECT_TRUE(make_tool_call_id(ToolStyle::kJson).starts_with("call_"));
  EXPECT_EQ(make_tool_call_id(ToolStyle::kMistral).size(), 9u);
  EXPECT_EQ(fitted_tool_call_id(ToolStyle::kHermes, "anything at all"), "anything at all");
  EXPECT_EQ(fitted_tool_call_id(ToolStyle::kMistral, "abcDEF123"), "abcDEF123");
  const std::string fitted = fitted_tool_call_id(ToolStyle::kMistralArgs, "call_9aXkqqqqqqqqqqqqqqqqqqqq");
  EXPECT_EQ(fitted.size(), 9u);
  EXPECT_EQ(fitted, fitted_tool_call_id(ToolStyle::kMistral, "call_9aXkqqqqqqqqqqqqqqqqqqqq"));
  EXPECT_NE(fitted, fitted_tool_call_id(ToolStyle::kMistral, "call_9aXkqqqqqqqqqqqqqqqqqqqr"));
  EXPECT_EQ(fitted_tool_call_id(ToolStyle::kMistral, "").size(), 9u);
  EXPECT_EQ(fitted_tool_call_id(ToolStyle::kMistral, "123456-89").find('-'), std::string::npos);
}

TEST(ToolStyle, WordsHoldTheMarkers) {
  for (const ToolStyle style : {ToolStyle::kHermes, ToolStyle::kMistral, ToolStyle::kMistralArgs, ToolStyle::kLlama3, ToolStyle::kJson}) {
    const ToolMarkers markers = tool_markers(style);
    for (const std::string_view word : {markers.open, markers.close}) {
      const auto words = tool_marker_words(style);
      EXPECT_TRUE(word.empty() || std::find(words.begin(), words.end(), word) != words.end()) << word;
    }
  }
}

}  // namespace
}  // namespace accelerate
