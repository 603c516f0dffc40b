#include "accelerate/cli/fd_buffer.h"

#include <cerrno>

#include <unistd.h>

#include "accelerate/cli/signals.h"

namespace accelerate {

FdBuffer::FdBuffer(int fd) : fd_(fd) { setp(out_.data(), out_.data() + out_.size()); }

FdBuffer::~FdBuffer() { drain(); }

bool FdBuffer::drain() {
  const char* from = pbase();
  while (from < pptr() && error_number_ == 0) {
    const ssize_t put = ::write(fd_, from, static_cast<size_t>(pptr() - from));
    if (put >= 0) from += put;
    else if (errno != EINTR) error_number_ = errno;
  }
  setp(out_.data(), out_.data() + out_.size());
  return error_number_ == 0;
}

FdBuffer::int_type FdBuffer::overflow(int_type c) {
  if (!drain()) return traits_type::eof();
  if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
  return sputc(traits_type::to_char_type(c));
}

int FdBuffer::sync() { return drain() ? 0 : -1; }

FdBuffer::int_type FdBuffer::underflow() {
  while (true) {
    const ssize_t got = ::read(fd_, in_.data(), in_.size());
    if (got > 0) {
      setg(in_.data(), in_.data(), in_.data() + got);
      return traits_type::to_int_type(in_[0]);
    }
    if (got < 0 && errno == EINTR && signals_received() == 0) continue;
    return traits_type::eof();
  }
}

}  // namespace accelerate
