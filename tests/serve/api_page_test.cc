// docs/api.md against the code: the examples of each route parse, every member does what its row says, and every member
// that a parser knows is on the page. A new member needs a row in its route's table, nothing else.
//
// A row of "yes" is probed with nonsense, which only a parser that reads the member refuses by its name.
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "accelerate/serve/openai_parse.h"
#include "accelerate/serve/parse_rerank.h"
#include "accelerate/serve/parse_text.h"
#include "accelerate/serve/responses_parse.h"

namespace accelerate {
namespace {

struct Row {
  std::string member, status;
};
struct Section {
  std::vector<Json> examples;
  std::vector<Row> rows;
};
using Parser = std::function<std::optional<ApiError>(const std::string&)>;

template <class T>
Parser parser(Parsed<T> (*parse)(std::string_view)) {
  return [parse](const std::string& body) {
    const Parsed<T> parsed = parse(body);
    return parsed.ok() ? std::nullopt : std::optional(parsed.error());
  };
}

const std::map<std::string, Parser>& parsers() {
  static const std::map<std::string, Parser> all = {
      {"/v1/chat/completions", parser(parse_chat)},   {"/v1/completions", parser(parse_completion)},
      {"/v1/embeddings", parser(parse_embeddings)},   {"/v1/rerank", parser(parse_rerank)},
      {"/tokenize", parser(parse_tokenize)},          {"/detokenize", parser(parse_detokenize)},
      {"/apply-template", parser(parse_apply_template)}, {"/v1/responses", parser(parse_responses)},
  };
  return all;
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}
std::filesystem::path source(const char* path) { return std::filesystem::path(ACC_SOURCE_DIR) / path; }

std::vector<std::string> in_backticks(const std::string& text) {
  static const std::regex kCode("`([^`]+)`");
  std::vector<std::string> out;
  for (std::sregex_iterator it(text.begin(), text.end(), kCode), end; it != end; ++it) out.push_back((*it)[1]);
  return out;
}

// Sections headed "## `POST /path`": json blocks, and tables of | `member` ... | status | meaning |.
std::map<std::string, Section> sections() {
  std::map<std::string, Section> out;
  Section* section = nullptr;
  std::istringstream page(file_text(source("docs/api.md")));
  for (std::string line; std::getline(page, line);) {
    static const std::regex kHead("## `POST ([^`]+)`"), kRow(R"(\| (`.*?) \| (yes|refused|ignored) \|.*)");
    std::smatch match;
    if (line.starts_with("## ")) section = std::regex_match(line, match, kHead) ? &out[match[1]] : nullptr;
    if (section == nullptr) continue;
    if (line == "```json") {
      std::string body;
      while (std::getline(page, line) && line != "```") body += line + "\n";
      const Result<Json> example = parse_json(body);
      EXPECT_TRUE(example.ok()) << body;
      if (example.ok()) section->examples.push_back(*example);
    } else if (std::regex_match(line, match, kRow)) {
      for (const std::string& member : in_backticks(match[1])) section->rows.push_back({member, match[2]});
    } else {
      EXPECT_FALSE(line.starts_with("| `")) << "a row has a status of yes, refused or ignored: " << line;
    }
  }
  return out;
}

// `body` with nonsense at "a", "a.b" or "a[].b"; containers that are not there are made.
Json with_nonsense(Json body, const std::string& member) {
  Json* at = &body;
  std::istringstream path(member);
  for (std::string part; std::getline(path, part, '.');) {
    const bool list = part.ends_with("[]");
    at = &(*at)[list ? part.substr(0, part.size() - 2) : part];
    if (!list) continue;
    if (!at->is_array()) *at = Json::array();
    size_t index = 0;
    while (index < at->size() && !(*at)[index].is_object()) ++index;
    if (index == at->size()) at->push_back(Json::object());
    at = &(*at)[index];
  }
  *at = Json::array({{{"?", 0}}});
  return body;
}

// "messages[].role" names messages[0].role, and what is inside.
bool names(const std::string& param, const std::string& member) {
  std::string pattern;
  for (const char c : member) pattern += c == '[' ? "\\[[0-9]+" : c == ']' ? "\\]" : c == '.' ? "\\." : std::string(1, c);
  return std::regex_match(param, std::regex(pattern + "([.\\[].*)?"));
}

// What a parser makes of nonsense in a member: one of the words of the page, or what is wrong.
std::string status_of(const Parser& parse, const Json& example, const std::string& member) {
  const std::optional<ApiError> error = parse(dump_json(with_nonsense(example, member)));
  if (!error) return "ignored";
  if (!names(error->param, member)) return "refused because of '" + error->param + "': " + error->message;
  return error->code == "unsupported_parameter" ? "refused" : "yes";
}

TEST(ApiPage, EveryRouteWithABodyHasItsSection) {
  const auto page = sections();
  for (const auto& [route, parse] : parsers()) EXPECT_TRUE(page.contains(route)) << route;
  for (const auto& [route, section] : page) {
    EXPECT_TRUE(parsers().contains(route)) << route << " has no parser in this test";
    EXPECT_FALSE(section.examples.empty()) << route;
    EXPECT_FALSE(section.rows.empty()) << route;
  }
}

TEST(ApiPage, ExamplesParse) {
  for (const auto& [route, section] : sections()) {
    for (const Json& example : section.examples) {
      const auto error = parsers().at(route)(dump_json(example));
      EXPECT_FALSE(error) << route << " " << example << ": " << error.value_or(ApiError{}).message;
    }
  }
}

TEST(ApiPage, MembersDoWhatTheirRowSays) {
  for (const auto& [route, section] : sections()) {
    for (const Row& row : section.rows) {
      std::set<std::string> found;  // members that exclude each other have an example each
      for (const Json& example : section.examples) found.insert(status_of(parsers().at(route), example, row.member));
      EXPECT_TRUE(found.contains(row.status)) << route << ": '" << row.member << "' is said to be " << row.status << "; got " << *found.begin();
    }
  }
}

TEST(ApiPage, ExamplesUseMembersOfTheirTables) {
  for (const auto& [route, section] : sections()) {
    std::set<std::string> known;
    for (const Row& row : section.rows) known.insert(row.member);
    for (const Json& example : section.examples) {
      for (const auto& [name, value] : example.items()) EXPECT_TRUE(known.contains(name)) << route << ": " << name;
    }
  }
}

std::string without_blocks(const std::string& page) {
  std::string out;
  bool inside = false;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) inside = !inside;
    else if (!inside) out += line + "\n";
  }
  return out;
}

// Words in quotes in the parsers are members or their values, except these of error texts and of schemas made there.
TEST(ApiPage, WhatTheParsersKnowIsOnThePage) {
  static const std::set<std::string> kOther = {"openai", "both", "one", "invalid_value", "object"};
  std::set<std::string> shown;
  const std::string page = file_text(source("docs/api.md"));
  for (const std::string& code : in_backticks(without_blocks(page))) {
    static const std::regex kWord("[a-z_0-9]+");
    for (std::sregex_iterator it(code.begin(), code.end(), kWord), end; it != end; ++it) shown.insert(it->str());
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source("accelerate/serve"))) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".cc") || name.find("parse") == std::string::npos) continue;
    ++files;
    const std::string code = std::regex_replace(file_text(entry.path()), std::regex("//.*|#include.*"), "");
    static const std::regex kLiteral("\"([a-z_0-9]+)\"");
    for (std::sregex_iterator it(code.begin(), code.end(), kLiteral), end; it != end; ++it) {
      const std::string word = (*it)[1];
      EXPECT_TRUE(shown.contains(word) || kOther.contains(word)) << name << " knows \"" << word << "\", docs/api.md does not";
    }
  }
  EXPECT_GE(files, 3u);
}

TEST(ApiPage, RoutesAreOnThePage) {
  const std::string page = file_text(source("docs/api.md")), server = file_text(source("accelerate/serve/server.cc"));
  static const std::regex kRoute("RouteEntry\\{\"([^\"]+)\", \"([A-Z]+)\"");
  size_t routes = 0;
  for (std::sregex_iterator it(server.begin(), server.end(), kRoute), end; it != end; ++it, ++routes) {
    const std::string route = "`" + (*it)[2].str() + " " + (*it)[1].str() + "`";
    EXPECT_NE(page.find(route), std::string::npos) << route;
  }
  EXPECT_GE(routes, 9u);
}

}  // namespace
}  // namespace accelerate
