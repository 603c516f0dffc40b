#include "accelerate/wire/socket_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "accelerate/wire/message.h"

namespace accelerate {
namespace {

Error gone(std::string_view why) { return {ErrorCode::kUnavailable, fmt::format("[wire] the other side of the channel is gone: {}", why)}; }

union FileControl {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

void put_file(msghdr& message, FileControl& control, int file) {
  std::memset(&control, 0, sizeof control);
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &file, sizeof file);
}

int got_file(msghdr& message) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int file = -1;
    std::memcpy(&file, CMSG_DATA(header), sizeof file);
    return file;
  }
  return -1;
}

}  // namespace

SocketChannel::SocketChannel(int descriptor) : descriptor_(descriptor) {
  ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) | O_NONBLOCK);
  ::fcntl(descriptor_, F_SETFD, FD_CLOEXEC);
}

SocketChannel::~SocketChannel() {
  keep_file(-1);
  ::close(descriptor_);
}

void SocketChannel::keep_file(int descriptor) {
  if (incoming_file_ >= 0) ::close(incoming_file_);
  incoming_file_ = descriptor;
}

Result<void> SocketChannel::wait(short events, Deadline deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd polled{descriptor_, events, 0};
    const int ready = ::poll(&polled, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return gone(std::strerror(errno));
    if (std::chrono::steady_clock::now() >= deadline) return Error{ErrorCode::kDeadlineExceeded, "[wire] the channel moved nothing in time"};
  }
}

Result<void> SocketChannel::send_all(std::span<const std::byte> bytes, int file, Deadline deadline) {
  while (!bytes.empty()) {
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    FileControl control;
    if (file >= 0) put_file(message, control, file);
    const ssize_t sent = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
      file = -1;
    } else if (errno == EAGAIN) {
      ACC_TRY_VOID(wait(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return gone(std::strerror(errno));
    }
  }
  return {};
}

Result<void> SocketChannel::send(std::span<const std::byte> message, Deadline deadline) {
  const int file = std::exchange(outgoing_file_, -1);
  if (message.size() > kWireMessageBytesMax) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] a message has at most {} bytes; got {}", kWireMessageBytesMax, message.size())};
  }
  const uint64_t length = message.size();
  ACC_TRY_VOID(send_all(std::as_bytes(std::span(&length, 1)), file, deadline));
  return send_all(message, -1, deadline);
}

Result<void> SocketChannel::attach(int descriptor) {
  outgoing_file_ = descriptor;
  return {};
}

int SocketChannel::take_file() { return std::exchange(incoming_file_, -1); }

Result<void> SocketChannel::fill(std::byte* to, size_t size, size_t& have, Deadline deadline) {
  while (have < size) {
    iovec piece{to + have, size - have};
    FileControl control;
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    const ssize_t count = ::recvmsg(descriptor_, &message, MSG_CMSG_CLOEXEC);
    if (count > 0) {
      if (const int file = got_file(message); file >= 0) keep_file(file);
      have += static_cast<size_t>(count);
    } else if (count == 0) {
      return gone("it closed the connection");
    } else if (errno == EAGAIN) {
      ACC_TRY_VOID(wait(POLLIN, deadline));
    } else if (errno != EINTR) {
      return gone(std::strerror(errno));
    }
  }
  return {};
}

Result<std::vector<std::byte>> SocketChannel::receive(Deadline deadline) {
  if (length_have_ < sizeof length_) {
    if (length_have_ == 0) keep_file(-1);
    ACC_TRY_VOID(fill(reinterpret_cast<std::byte*>(&length_), sizeof length_, length_have_, deadline));
    if (length_ > kWireMessageBytesMax) return gone(fmt::format("it announced a message of {} bytes", length_));
    message_.resize(length_);
  }
  ACC_TRY_VOID(fill(message_.data(), message_.size(), message_have_, deadline));
  length_have_ = message_have_ = 0;
  return std::move(message_);
}

Result<SocketPair> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] no socket pair: {}", std::strerror(errno))};
  }
  return SocketPair{std::make_unique<SocketChannel>(ends[0]), ends[1]};
}

}  // namespace accelerate
