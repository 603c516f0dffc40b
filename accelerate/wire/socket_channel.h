// SocketChannel - a Channel over a Unix stream socket: whole messages behind their length, and open files beside them.
//
//   ACC_TRY(SocketPair pair, make_socket_pair());     // pair.ours is a channel, pair.theirs goes to a child
//   SocketChannel channel(kInheritedFile);            // in the child
//
// Frame: u64 length, little endian | the message; at most kWireMessageBytesMax. One sender and one receiver at a time.
#pragma once

#include <memory>

#include "accelerate/core/worker.h"

namespace accelerate {

class SocketChannel final : public Channel {
 public:
  /// Takes the descriptor over.
  explicit SocketChannel(int descriptor);
  ~SocketChannel() override;
  SocketChannel(const SocketChannel&) = delete;
  SocketChannel& operator=(const SocketChannel&) = delete;

  Result<void> send(std::span<const std::byte> message, Deadline deadline) override;
  Result<std::vector<std::byte>> receive(Deadline deadline) override;
  bool carries_files() const override { return true; }
  Result<void> attach(int descriptor) override;
  int take_file() override;

 private:
  Result<void> wait(short events, Deadline deadline) const;
  Result<void> send_all(std::span<const std::byte> bytes, int file, Deadline deadline);
  Result<void> fill(std::byte* to, size_t size, size_t& have, Deadline deadline);
  void keep_file(int descriptor);

  const int descriptor_;
  int outgoing_file_ = -1;  // borrowed until the next send
  int incoming_file_ = -1;  // of the message that is coming, then of the one that came
  uint64_t length_ = 0;
  size_t length_have_ = 0, message_have_ = 0;  // what a receive() that ran out of time has so far
  std::vector<std::byte> message_;
};

struct SocketPair {
  std::unique_ptr<SocketChannel> ours;
  int theirs = -1;  // the caller's to close
};
Result<SocketPair> make_socket_pair();

}  // namespace accelerate
