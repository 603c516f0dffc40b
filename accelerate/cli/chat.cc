#include "accelerate/cli/chat.h"

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/cli/answer.h"
#include "accelerate/cli/signals.h"

namespace accelerate {
namespace {

constexpr std::string_view kHelp =
    "/help   this list\n"
    "/clear  forget the conversation\n"
    "/bye    leave (also Ctrl-D)\n"
    "Ctrl-C stops an answer; a line that ends with \\ goes on in the next one.\n";

enum class Input { kLine, kEnd, kInterrupted };

/// One line of input, continued over trailing backslashes.
Input read_line(Console& console, std::string& line) {
  line.clear();
  console.put(">>> ");
  while (true) {
    std::string piece;
    if (!std::getline(console.streams().in, piece)) {
      if (signals_received() == 0) return piece.empty() && line.empty() ? Input::kEnd : (line += piece, Input::kLine);
      clear_signals();
      console.streams().in.clear();
      return Input::kInterrupted;
    }
    if (!piece.ends_with('\\')) {
      line += piece;
      return Input::kLine;
    }
    piece.back() = '\n';
    line += piece;
    if (line.size() > limits::kRequestBytesMax) return Input::kLine;  // refused by the endpoint in its own words
    console.put("... ");
  }
}

class Conversation {
 public:
  Conversation(Console& console, Endpoint& endpoint, const ChatOptions& options)
      : console_(console), endpoint_(endpoint), options_(options) {
    forget();
  }
  void forget() {
    messages_.clear();
    if (options_.system) messages_.push_back({"system", *options_.system});
  }
  /// An error only when stdout is gone.
  Result<void> say(const std::string& line) {
    Request request = options_.prototype;
    if (options_.raw) {
      request.text = line;
    } else {
      messages_.push_back({"user", line});
      request.messages = messages_;
    }
    const Result<AnswerReport> report = stream_answer(console_, endpoint_, request, {.show = true});
    clear_signals();
    if (console_.output_lost()) return console_.output_error();
    if (!report) {
      if (!options_.raw) messages_.pop_back();
      console_.say("error: " + printable(report.error().message, 1000));
      if (report.error().code == ErrorCode::kOutOfRange) console_.say("/clear forgets the conversation so far");
      return {};
    }
    if (!options_.raw) messages_.push_back({"assistant", report->text});
    console_.say(summary_line(*report));
    return {};
  }

 private:
  Console& console_;
  Endpoint& endpoint_;
  const ChatOptions& options_;
  std::vector<Message> messages_;
};

}  // namespace

Result<void> chat(Console& console, Endpoint& endpoint, const ChatOptions& options) {
  const EndpointInfo& info = endpoint.info();
  console.say(fmt::format("{} ({} {}) on {}, {} tokens of context. /help lists commands.", info.name, info.family, info.quantization,
                          info.target, info.context));
  Conversation conversation(console, endpoint, options);
  std::string line;
  while (!console.output_lost()) {
    switch (read_line(console, line)) {
      case Input::kEnd: console.put("\n"); return {};
      case Input::kInterrupted: console.say("\nCtrl-D or /bye leaves"); continue;
      case Input::kLine: break;
    }
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    if (line == "/bye" || line == "/exit" || line == "/quit") return {};
    if (line == "/help" || line == "/?") {
      console.put(kHelp);
    } else if (line == "/clear") {
      conversation.forget();
    } else if (line.starts_with("/") && line.find_first_of(" /", 1) == std::string::npos) {
      console.say(fmt::format("no command is called {}; /help lists them", printable(line)));
    } else {
      ACC_TRY_VOID(conversation.say(line));
    }
  }
  return console.output_error();
}

}  // namespace accelerate
