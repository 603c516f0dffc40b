// FdBuffer - a stream buffer over a file descriptor that remembers why a write failed and stops reading on a signal.
//
//   FdBuffer buffer(STDOUT_FILENO);
//   std::ostream out(&buffer);
//   if (!out.flush()) explain(buffer.error_number());     // EPIPE, ENOSPC
//
// std::cout loses errno, and std::cin reads on after a signal, so that Ctrl-C could not end a prompt. Borrows the
// descriptor. Not thread-safe.
#pragma once

#include <array>
#include <streambuf>

namespace accelerate {

class FdBuffer : public std::streambuf {
 public:
  explicit FdBuffer(int fd);
  ~FdBuffer() override;
  /// errno of the first failed write, or 0.
  int error_number() const { return error_number_; }

 protected:
  int_type overflow(int_type c) override;
  int sync() override;
  int_type underflow() override;

 private:
  bool drain();
  int fd_, error_number_ = 0;
  std::array<char, 16384> in_, out_;
};

}  // namespace accelerate
