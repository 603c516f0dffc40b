#include "accelerate/cli/answer.h"

#include <cmath>
#include <csignal>
#include <thread>

#include "accelerate/cli/signals.h"
#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

/// Says "word " until it is cancelled or has said it `words` times.
class Talker : public Endpoint {
 public:
  explicit Talker(int words, bool refuses = false) : words_(words), refuses_(refuses) { info_.target = "talker@test:0"; }
  ~Talker() override {
    if (thread_.joinable()) thread_.join();
  }
  const EndpointInfo& info() const override { return info_; }
  Result<std::shared_ptr<Stream>> generate(const Request& request) override {
    if (request.stop.size() > 4) return Error{ErrorCode::kInvalidArgument, "[talker] too many"};
    auto stream = std::make_shared<Stream>();
    thread_ = std::thread([this, stream] {
      uint32_t said = 0;
      while (said < static_cast<uint32_t>(words_) && stream->push({.text = "word ", .tokens = {said}})) {
        ++said;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      if (refuses_ && stream->cancelled()) {  // as the scheduler does
        stream->finish(Error{ErrorCode::kCancelled, "[talker] the client went away"});
        return;
      }
      Reply reply{.finish_reason = stream->cancelled() ? FinishReason::kCancelled : FinishReason::kStop};
      reply.usage.completion_tokens = said;
      reply.served_by = "talker@test:0";
      stream->finish(reply);
    });
    return stream;
  }
  Result<EmbedReply> embed(std::span<const EmbedInput>, const std::atomic<bool>*) override { return Error{ErrorCode::kUnimplemented, ""}; }
  Result<std::vector<uint32_t>> tokenize(std::string_view, const TokenizeOptions&) const override { return Error{ErrorCode::kUnimplemented, ""}; }
  Result<std::string> detokenize(std::span<const uint32_t>, const DetokenizeOptions&) const override { return Error{ErrorCode::kUnimplemented, ""}; }
  Result<void> check_health() override { return {}; }
  EndpointStats stats() const override { return {}; }
  void close() override {}

 private:
  EndpointInfo info_;
  int words_;
  bool refuses_;
  std::thread thread_;
};

class Answer : public ::testing::Test {
 protected:
  std::istringstream in_;
  std::ostringstream out_, err_;
  Streams streams_{.in = in_, .out = out_, .err = err_};
  Console console_{streams_};
};

TEST_F(Answer, TextIsShownAsItComesAndEndsWithALineEnd) {
  Talker talker(3);
  const Result<AnswerReport> report = stream_answer(console_, talker, {}, {.show = true});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(out_.str(), "word word word \n");
  EXPECT_EQ(report->text, "word word word ");
  EXPECT_EQ(report->tokens, (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_FALSE(report->interrupted);
}

TEST_F(Answer, HiddenAnswersStayHidden) {
  Talker talker(2);
  ASSERT_TRUE(stream_answer(console_, talker, {}, {.show = false}).ok());
  EXPECT_EQ(out_.str(), "");
}

TEST_F(Answer, ASignalStopsItAndKeepsWhatCame) {
  for (const bool refuses : {false, true}) {
    const SignalScope scope;
    Talker talker(1'000'000, refuses);
    std::thread sender([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      ::kill(::getpid(), SIGINT);
    });
    const Result<AnswerReport> report = stream_answer(console_, talker, {}, {.show = true});
    sender.join();
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_TRUE(report->interrupted);
    EXPECT_TRUE(report->text.starts_with("word "));
    EXPECT_EQ(report->reply.usage.completion_tokens, report->tokens.size());
    const std::string line = summary_line(*report);
    EXPECT_TRUE(holds(line, "stopped by a signal")) << line;
    EXPECT_FALSE(holds(line, "prompt")) << "what is not known is not said: " << line;
    EXPECT_EQ(report->reply.finish_reason, FinishReason::kCancelled);
  }
}

TEST_F(Answer, ALostOutputCancelsTheRequest) {
  out_.setstate(std::ios::badbit);
  Talker talker(1'000'000);
  EXPECT_FALSE(stream_answer(console_, talker, {}, {.show = true}).ok()) << "and it ended";
}

TEST_F(Answer, SpeedNeedsTwoTokens) {
  Reply reply;
  reply.usage.completion_tokens = 1;
  reply.decode_ms = 10;
  EXPECT_TRUE(std::isnan(decode_tokens_per_s(reply)));
  reply.usage.completion_tokens = 11;
  EXPECT_DOUBLE_EQ(decode_tokens_per_s(reply), 1000);
  EXPECT_TRUE(holds(summary_line({.reply = reply, .text = "", .tokens = {}}), "then 1000.0 tokens/s"));
}

}  // namespace
}  // namespace accelerate
