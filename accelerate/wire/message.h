// WireMessage - what goes between us and a worker: a type, named values, and blobs of raw bytes.
//
//   WireMessage request("step");
//   request.set("batch", 3).add_blob(std::as_bytes(tokens));
//   ACC_TRY_VOID(channel.send(request.encode(), deadline));
//   ACC_TRY(WireMessage answer, WireMessage::decode(bytes));
//   ACC_TRY(uint64_t tokens, answer.number("tokens", kMost));
//
// Layout (docs/wire.md): u32 bytes of JSON, little endian | JSON object {"type": ..., "blobs": [bytes, ...], ...} | the blobs.
// What comes from the other side is foreign: every accessor checks presence, type and range. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr size_t kWireMessageBytesMax = size_t{256} << 20;  // a [8192, 4096] float matrix is half of it
inline constexpr size_t kWireJsonBytesMax = size_t{16} << 20;
inline constexpr size_t kWireBlobsMax = 4096;
inline constexpr uint32_t kWireProtocol = 1;  // both sides say it in "hello"; another number is refused

class WireMessage {
 public:
  explicit WireMessage(std::string_view type);
  ~WireMessage();
  WireMessage(WireMessage&&) noexcept;
  WireMessage& operator=(WireMessage&&) noexcept;

  /// data_loss for bytes that are no message.
  static Result<WireMessage> decode(std::vector<std::byte> bytes);
  std::vector<std::byte> encode() const;

  const std::string& type() const;
  WireMessage& set(std::string_view key, uint64_t value);
  WireMessage& set_text(std::string_view key, std::string_view value);
  WireMessage& set_flag(std::string_view key, bool value);
  WireMessage& set_texts(std::string_view key, const std::vector<std::string>& values);
  WireMessage& set_numbers(std::string_view key, std::span<const uint64_t> values);
  /// Copies the bytes.
  WireMessage& add_blob(std::span<const std::byte> bytes);

  bool has(std::string_view key) const;
  /// A whole number, at most `most`. data_loss for anything else.
  Result<uint64_t> number(std::string_view key, uint64_t most = UINT64_MAX) const;
  Result<std::string> text(std::string_view key) const;
  Result<bool> flag(std::string_view key) const;
  Result<std::vector<std::string>> texts(std::string_view key) const;
  Result<std::vector<uint64_t>> numbers(std::string_view key) const;
  size_t blob_count() const;
  /// Valid as long as the message. data_loss where there is no such blob.
  Result<std::span<const std::byte>> blob(size_t index) const;
  /// The blob as u32 values, copied for alignment; data_loss unless it is a whole number of them.
  Result<std::vector<uint32_t>> blob_u32(size_t index) const;
  Result<std::vector<float>> blob_f32(size_t index) const;

 private:
  struct Body;
  explicit WireMessage(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

/// An Error as a message of type "error", and back.
WireMessage to_message(const Error& error);
Error error_of(const WireMessage& message);

}  // namespace accelerate
