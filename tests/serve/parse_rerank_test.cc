#include "accelerate/serve/parse_rerank.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

std::string body(std::string_view more, std::string_view documents = R"(["a", {"text": "b"}])") {
  return fmt::format(R"({{"model":"m","query":"q","documents":{}{}{}}})", documents, more.empty() ? "" : ",", more);
}
std::string problem(const std::string& text) {
  const auto parsed = parse_rerank(text);
  return parsed.ok() ? "accepted" : parsed.error().param + " " + parsed.error().code;
}

TEST(ParseRerank, TextsAndObjectsWithText) {
  auto plain = parse_rerank(body(""));
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_EQ(plain->model, "m");
  EXPECT_EQ(plain->input.query, "q");
  EXPECT_EQ(plain->input.documents, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(plain->return_documents);
  EXPECT_FALSE(plain->top_n || plain->by_embeddings || plain->input.truncate || plain->input.document_tokens_max);
}

TEST(ParseRerank, Options) {
  auto all = parse_rerank(body(R"("top_n":3,"return_documents":false,"max_tokens_per_doc":9,"truncate":true,"method":"embeddings")"));
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(all->top_n, 3u);
  EXPECT_FALSE(all->return_documents);
  EXPECT_EQ(all->input.document_tokens_max, 9u);
  EXPECT_TRUE(all->input.truncate && all->by_embeddings);
  EXPECT_FALSE(parse_rerank(body(R"("method":"cross_encoder")"))->by_embeddings);
}

TEST(ParseRerank, Refusals) {
  EXPECT_EQ(problem(R"({"documents":["a"]})"), "query missing_required_parameter");
  EXPECT_EQ(problem(R"({"query":"","documents":["a"]})"), "query missing_required_parameter");
  EXPECT_EQ(problem(R"({"query":"q"})"), "documents missing_required_parameter");
  EXPECT_EQ(problem(body("", "[]")), "documents invalid_value");
  EXPECT_EQ(problem(body("", "\"a\"")), "documents invalid_type");
  EXPECT_EQ(problem(body("", "[1]")), "documents[0] invalid_type");
  EXPECT_EQ(problem(body("", R"(["a", {}])")), "documents[1].text missing_required_parameter");
  EXPECT_EQ(problem(body("", R"([{"text": 1}])")), "documents[0].text invalid_type");
  std::string many = "[\"a\"";
  for (uint32_t i = 0; i < kRerankDocumentsMax; ++i) many += ",\"a\"";
  EXPECT_EQ(problem(body("", many + "]")), "documents invalid_value");
  EXPECT_EQ(problem(body("\"top_n\":0")), "top_n invalid_value");
  EXPECT_EQ(problem(body("\"max_tokens_per_doc\":0")), "max_tokens_per_doc invalid_value");
  EXPECT_EQ(problem(body("\"method\":\"magic\"")), "method invalid_value");
  EXPECT_EQ(problem(body("\"truncation\":true")), "truncation unsupported_parameter");
  EXPECT_EQ(problem(body("\"truncation\":false")), "accepted");
  EXPECT_EQ(problem(body("\"truncate_prompt_tokens\":10")), "truncate_prompt_tokens unsupported_parameter");
  EXPECT_EQ(problem(body("\"rank_fields\":[\"title\"]")), "rank_fields unsupported_parameter");
}

}  // namespace
}  // namespace accelerate
