#include "accelerate/wire/message.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

Error broken(std::string_view what) { return {ErrorCode::kDataLoss, fmt::format("[wire] a message is whole; got {}", what)}; }
Error wrong(const std::string& type, std::string_view key, std::string_view wanted) {
  return {ErrorCode::kDataLoss, fmt::format("[wire] '{}' of a message '{}' is {}", key, type, wanted)};
}

template <class T>
Result<std::vector<T>> values_of(std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(T) != 0) return broken(fmt::format("a blob of {} bytes for values of {}", bytes.size(), sizeof(T)));
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

struct WireMessage::Body {
  std::string type;
  Json fields = Json::object();
  std::vector<std::byte> bytes;                       // blobs, or the whole message they came in
  std::vector<std::pair<size_t, size_t>> blobs;       // offset and size in `bytes`
};

WireMessage::WireMessage(std::string_view type) : body_(std::make_unique<Body>()) { body_->type = type; }
WireMessage::WireMessage(std::unique_ptr<Body> body) : body_(std::move(body)) {}
WireMessage::~WireMessage() = default;
WireMessage::WireMessage(WireMessage&&) noexcept = default;
WireMessage& WireMessage::operator=(WireMessage&&) noexcept = default;

Result<WireMessage> WireMessage::decode(std::vector<std::byte> bytes) {
  uint32_t json_bytes = 0;
  if (bytes.size() < sizeof json_bytes) return broken(fmt::format("{} bytes", bytes.size()));
  std::memcpy(&json_bytes, bytes.data(), sizeof json_bytes);
  if (json_bytes > kWireJsonBytesMax || json_bytes > bytes.size() - sizeof json_bytes) return broken(fmt::format("{} bytes of JSON", json_bytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof json_bytes, json_bytes);
  auto body = std::make_unique<Body>();
  ACC_TRY(body->fields, parse_json(text, {.where = "wire", .bytes_max = kWireJsonBytesMax, .depth_max = 8, .values_max = 1 << 20}));
  if (!body->fields.is_object()) return broken("no JSON object");
  const auto type = body->fields.find("type");
  if (type == body->fields.end() || !type->is_string()) return broken("no type");
  body->type = type->get<std::string>();
  size_t offset = sizeof json_bytes + json_bytes;
  if (const auto blobs = body->fields.find("blobs"); blobs != body->fields.end()) {
    if (!blobs->is_array() || blobs->size() > kWireBlobsMax) return broken("blobs that are no list, or too many");
    for (const Json& size : *blobs) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() > bytes.size() - offset) return broken("a blob that is cut off");
      body->blobs.emplace_back(offset, size.get<uint64_t>());
      offset += size.get<uint64_t>();
    }
  }
  if (offset != bytes.size()) return broken(fmt::format("{} bytes behind its end", bytes.size() - offset));
  body->bytes = std::move(bytes);
  return WireMessage(std::move(body));
}

std::vector<std::byte> WireMessage::encode() const {
  Json fields = body_->fields;
  fields["type"] = body_->type;
  size_t blob_bytes = 0;
  if (!body_->blobs.empty()) {
    Json sizes = Json::array();
    for (const auto& [offset, size] : body_->blobs) {
      sizes.push_back(size);
      blob_bytes += size;
    }
    fields["blobs"] = std::move(sizes);
  } else {
    fields.erase("blobs");
  }
  const std::string text = dump_json(fields);
  const auto json_bytes = static_cast<uint32_t>(text.size());
  std::vector<std::byte> bytes(sizeof json_bytes + text.size() + blob_bytes);
  std::memcpy(bytes.data(), &json_bytes, sizeof json_bytes);
  std::memcpy(bytes.data() + sizeof json_bytes, text.data(), text.size());
  std::byte* at = bytes.data() + sizeof json_bytes + text.size();
  for (const auto& [offset, size] : body_->blobs) at = std::copy_n(body_->bytes.data() + offset, size, at);
  return bytes;
}

const std::string& WireMessage::type() const { return body_->type; }

WireMessage& WireMessage::set(std::string_view key, uint64_t value) {
  body_->fields[std::string(key)] = value;
  return *this;
}
WireMessage& WireMessage::set_text(std::string_view key, std::string_view value) {
  body_->fields[std::string(key)] = std::string(value);
  return *this;
}
WireMessage& WireMessage::set_flag(std::string_view key, bool value) {
  body_->fields[std::string(key)] = value;
  return *this;
}
WireMessage& WireMessage::set_texts(std::string_view key, const std::vector<std::string>& values) {
  body_->fields[std::string(key)] = values;
  return *this;
}
WireMessage& WireMessage::set_numbers(std::string_view key, std::span<const uint64_t> values) {
  body_->fields[std::string(key)] = std::vector<uint64_t>(values.begin(), values.end());
  return *this;
}
WireMessage& WireMessage::add_blob(std::span<const std::byte> bytes) {
  body_->blobs.emplace_back(body_->bytes.size(), bytes.size());
  body_->bytes.insert(body_->bytes.end(), bytes.begin(), bytes.end());
  return *this;
}

bool WireMessage::has(std::string_view key) const { return body_->fields.contains(std::string(key)); }

Result<uint64_t> WireMessage::number(std::string_view key, uint64_t most) const {
  const auto found = body_->fields.find(std::string(key));
  if (found == body_->fields.end() || !found->is_number_unsigned() || found->get<uint64_t>() > most) {
    return wrong(type(), key, fmt::format("a whole number up to {}", most));
  }
  return found->get<uint64_t>();
}
Result<std::string> WireMessage::text(std::string_view key) const {
  const auto found = body_->fields.find(std::string(key));
  if (found == body_->fields.end() || !found->is_string()) return wrong(type(), key, "a text");
  return found->get<std::string>();
}
Result<bool> WireMessage::flag(std::string_view key) const {
  const auto found = body_->fields.find(std::string(key));
  if (found == body_->fields.end() || !found->is_boolean()) return wrong(type(), key, "true or false");
  return found->get<bool>();
}
Result<std::vector<std::string>> WireMessage::texts(std::string_view key) const {
  const auto found = body_->fields.find(std::string(key));
  const auto is_text = [](const Json& one) { return one.is_string(); };
  if (found == body_->fields.end() || !found->is_array() || !std::all_of(found->begin(), found->end(), is_text)) {
    return wrong(type(), key, "a list of texts");
  }
  return found->get<std::vector<std::string>>();
}
Result<std::vector<uint64_t>> WireMessage::numbers(std::string_view key) const {
  const auto found = body_->fields.find(std::string(key));
  const auto is_number = [](const Json& one) { return one.is_number_unsigned(); };
  if (found == body_->fields.end() || !found->is_array() || !std::all_of(found->begin(), found->end(), is_number)) {
    return wrong(type(), key, "a list of whole numbers");
  }
  return found->get<std::vector<uint64_t>>();
}

size_t WireMessage::blob_count() const { return body_->blobs.size(); }
Result<std::span<const std::byte>> WireMessage::blob(size_t index) const {
  if (index >= body_->blobs.size()) return broken(fmt::format("no blob {} in a message '{}'", index, type()));
  return std::span<const std::byte>(body_->bytes.data() + body_->blobs[index].first, body_->blobs[index].second);
}
Result<std::vector<uint32_t>> WireMessage::blob_u32(size_t index) const {
  ACC_TRY(const auto bytes, blob(index));
  return values_of<uint32_t>(bytes);
}
Result<std::vector<float>> WireMessage::blob_f32(size_t index) const {
  ACC_TRY(const auto bytes, blob(index));
  return values_of<float>(bytes);
}

WireMessage to_message(const Error& error) {
  WireMessage message("error");
  message.set("code", static_cast<uint64_t>(error.code)).set_text("message", error.message);
  return message;
}

Error error_of(const WireMessage& message) {
  const auto code = message.number("code", kErrorCodeCount - 1);
  const auto text = message.text("message");
  if (!code || !text) return broken("an error without a code and a text");
  return {static_cast<ErrorCode>(*code), *text};
}

}  // namespace accelerate
