// libFuzzer: tool calls from arbitrary answers, cut anywhere. What comes out must not depend on the cuts, must lose no text
// where no call was found, and complete calls must have JSON objects as arguments.
//
//   build/asan/tool_calls_fuzz -max_total_time=60
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "accelerate/base/check.h"
#include "accelerate/text/tool_calls.h"

namespace accelerate {
namespace {

struct Read {
  std::string text;
  std::vector<ToolCall> calls;
  size_t completed = 0;
};

void add(Read& read, const ToolCallParser::Step& step) {
  read.text += step.text;
  for (const ToolCallDelta& delta : step.calls) {
    if (delta.index == read.calls.size()) {
      CHECK(!delta.id.empty() && !delta.name.empty() && delta.arguments.empty(), "id and name come first");
      read.calls.push_back({"", delta.name, ""});
    } else {
      CHECK(delta.index + 1 == read.calls.size() && delta.id.empty() && delta.name.empty(), "then the arguments of the last call");
      read.calls.back().arguments += delta.arguments;
    }
  }
}

Read read_in_pieces(ToolStyle style, std::string_view answer, size_t piece) {
  ToolCallParser parser(style, {"f", "get_weather"});
  Read read;
  for (size_t at = 0; at < answer.size(); at += piece) add(read, parser.push(answer.substr(at, piece)));
  add(read, parser.finish());
  read.completed = parser.completed();
  CHECK(parser.begun() == read.calls.size() && read.completed <= read.calls.size(), "calls counted");
  return read;
}

void one(std::string_view data) {
  if (data.empty()) return;
  const auto style = static_cast<ToolStyle>(static_cast<unsigned char>(data[0]) % 5);
  const std::string_view answer = data.substr(1);
  const Read whole = read_in_pieces(style, answer, answer.size() + 1);
  const Read cut = read_in_pieces(style, answer, 1 + static_cast<unsigned char>(data[0]) / 64);
  CHECK(whole.text == cut.text && whole.completed == cut.completed && whole.calls.size() == cut.calls.size(), "cuts change nothing");
  if (whole.calls.empty()) CHECK(whole.text == answer, "no call, no change");
  size_t valid = 0;
  for (size_t i = 0; i < whole.calls.size(); ++i) {
    CHECK(whole.calls[i].name == cut.calls[i].name && whole.calls[i].arguments == cut.calls[i].arguments, "cuts change no call");
    CHECK(whole.calls[i].name == "f" || whole.calls[i].name == "get_weather", "a tool on offer");
    CHECK(whole.calls[i].arguments.starts_with('{'), "arguments are an object");
    // The library refuses ill-formed UTF-8 and half surrogates, which this parser leaves to those who made the text.
    valid += nlohmann::json::accept(whole.calls[i].arguments);
  }
  CHECK(valid <= whole.completed, "what is a whole object is complete");
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
