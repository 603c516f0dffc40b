#include "accelerate/wire/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/base/process.h"
#include "accelerate/wire/message.h"
#include "accelerate/wire/socket_channel.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
constexpr size_t kLastWordsBytes = 2000;
constexpr auto kLeaveTime = 300ms;  // for a worker to end by itself when its channel closes
constexpr auto kEndTime = 2000ms;   // for the system to collect a process that died

// Reads what a worker prints until it ends: each line to the log, the last ones kept.
class Printed {
 public:
  Printed(std::string name, int file) : name_(std::move(name)), thread_([this, file] { read(file); }) {}
  ~Printed() {
    over_ = true;
    thread_.join();
  }
  std::string last_words() const {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  void read(int file) {
    std::string line;
    char piece[4096];
    while (true) {
      pollfd polled{file, POLLIN, 0};
      const int ready = ::poll(&polled, 1, 50);
      if (ready == 0 && over_) return;
      if (ready <= 0) continue;
      const ssize_t count = ::read(file, piece, sizeof piece);
      if (count <= 0) break;
      for (const char c : std::string_view(piece, static_cast<size_t>(count))) {
        if (c != '\n' && line.size() < kLastWordsBytes) line += c;
        else take(line, c == '\n' ? "" : std::string(1, c));
      }
    }
    if (!line.empty()) take(line, "");
  }
  void take(std::string& line, const std::string& next) {
    log_debug(fmt::format("worker {}: {}", name_, line));
    std::lock_guard lock(mutex_);
    last_ += (last_.empty() ? "" : "\n") + line;
    if (last_.size() > kLastWordsBytes) last_.erase(0, last_.size() - kLastWordsBytes);
    line = next;
  }

  const std::string name_;
  mutable std::mutex mutex_;
  std::string last_;  // guarded by mutex_
  std::atomic<bool> over_{false};
  std::thread thread_;
};

class ProcessWorker final : public Worker {
 public:
  ProcessWorker(std::string name, ChildProcess child, std::unique_ptr<SocketChannel> channel)
      : name_(std::move(name)), child_(std::move(child)), channel_(std::move(channel)), printed_(name_, child_.output()) {}
  ~ProcessWorker() override {
    channel_.reset();
    child_.wait(kLeaveTime);
    child_.send_signal(SIGKILL);
  }
  const std::string& name() const override { return name_; }
  Channel& channel() override { return *channel_; }
  bool alive() const override { return !child_.end(); }
  void kill() override {
    child_.send_signal(SIGKILL);
    child_.wait(kEndTime);
  }
  std::string end() const override {
    const auto ended = child_.wait(kEndTime);
    if (!ended) return {};
    std::string words = printed_.last_words();
    return words.empty() ? to_string(*ended) : fmt::format("{}; it said: {}", to_string(*ended), words);
  }

 private:
  const std::string name_;
  ChildProcess child_;
  std::unique_ptr<SocketChannel> channel_;
  Printed printed_;  // reads the child's output: gone before it
};

}  // namespace

Result<void> shake_hands(Channel& channel, Deadline deadline) {
  WireMessage hello("hello");
  hello.set("protocol", kWireProtocol);
  ACC_TRY_VOID(channel.send(hello.encode(), deadline));
  ACC_TRY(std::vector<std::byte> bytes, channel.receive(deadline));
  ACC_TRY(const WireMessage answer, WireMessage::decode(std::move(bytes)));
  const auto protocol = answer.number("protocol");
  if (answer.type() != "hello" || !protocol) return Error{ErrorCode::kDataLoss, "[wire] the first message is a hello with a protocol's number"};
  if (*protocol != kWireProtocol) {
    return Error{ErrorCode::kUnavailable, fmt::format("[wire] both sides speak one protocol; got {}, ours is {}; try installing both of one release",
                                                      *protocol, kWireProtocol)};
  }
  return {};
}

Result<std::unique_ptr<Worker>> Supervisor::start(const WorkerSpec& spec, Deadline deadline) {
  ACC_TRY(SocketPair pair, make_socket_pair());
  Result<ChildProcess> child = spawn_process(spec.argv, {.directory = {}, .environment = spec.environment, .inherited = pair.theirs});
  ::close(pair.theirs);
  if (!child) return child.error();
  auto worker = std::make_unique<ProcessWorker>(spec.name, *std::move(child), std::move(pair.ours));
  if (Result<void> met = shake_hands(worker->channel(), deadline); !met) {
    const bool alive = worker->alive() && met.error().code != ErrorCode::kUnavailable;
    const std::string end = alive ? "" : worker->end();
    return Error{ErrorCode::kUnavailable, fmt::format("[wire] worker '{}' did not come up: {}{}{}", spec.name, met.error().message,
                                                      end.empty() ? "" : "; it ", end)};
  }
  return std::unique_ptr<Worker>(std::move(worker));
}

std::unique_ptr<Worker> Supervisor::take_connected(std::string_view) { return nullptr; }

}  // namespace accelerate
