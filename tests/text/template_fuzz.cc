// libFuzzer: chat templates from arbitrary bytes, rendered with messages from arbitrary bytes. The input is the template, then
// optionally messages, tools and further variables as JSON, each behind a line "====".
//
//   build/asan/template_fuzz -max_total_time=60 NEW_FOLDER tests/text/corpus/template
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "accelerate/base/check.h"
#include "accelerate/text/chat_template.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

constexpr std::string_view kSeparator = "\n====\n";
constexpr std::string_view kMessages = R"([{"role":"system","content":"s"},{"role":"user","content":"Hi é\n"}])";
// A thousandth of what requests get: a rendering that goes astray costs milliseconds.
constexpr RenderLimits kLimits{.steps = 20'000, .memory_bytes = size_t{4} << 20, .ms = 2'000};
// Each rendering that was given up leaves a parked thread behind (ffi/src/budget.rs); a process has only so many.
constexpr int kGivenUpMax = 400;

std::string_view cut(std::string_view& input) {
  const size_t end = input.find(kSeparator);
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + kSeparator.size());
  return part;
}

void check_error(const Error& error) {
  CHECK(!error.message.empty() && utf8_is_valid(error.message), "a refusal says why");
  CHECK(error.code != ErrorCode::kInternal, error.message);  // the library panicked
}

void one(std::string_view input) {
  static int given_up = 0;
  const std::string_view source = cut(input);
  const Result<ChatTemplate> chat = ChatTemplate::create(source, ChatTemplateTokens{.bos_token = "<s>", .eos_token = "</s>"});
  if (!chat) return check_error(chat.error());
  CHECK(chat->source() == source, "its own text");
  if (given_up >= kGivenUpMax) return;
  const std::string_view messages = cut(input);
  const RenderOptions options{.add_generation_prompt = source.size() % 2 == 0, .tools_json = std::string(cut(input)),
                              .extra_json = std::string(cut(input)), .now_unix_s = 1'750'000'000, .limits = kLimits};
  const Result<std::string> rendered = chat->render_json(messages.empty() ? kMessages : messages, options);
  if (rendered) {
    CHECK(utf8_is_valid(*rendered), "a prompt is UTF-8");
    return;
  }
  check_error(rendered.error());
  const bool limit = rendered.error().code == ErrorCode::kDeadlineExceeded || rendered.error().code == ErrorCode::kResourceExhausted;
  const bool steps = limit && rendered.error().message.find("more steps") != std::string::npos;
  if (limit && !steps && ++given_up == kGivenUpMax) std::puts("enough renderings given up: from here on templates are only compiled");
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
