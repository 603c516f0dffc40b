#include "accelerate/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

Error data_loss(std::string text) { return Error{ErrorCode::kDataLoss, "[safetensors] " + std::move(text)}; }

/// The format's names; those without a DType are here so that the error can say "known, not supported".
struct TypeName {
  std::string_view name;
  std::optional<DType> dtype;
};
constexpr TypeName kTypes[] = {
    {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F64", DType::kF64}, {"I64", DType::kI64},
    {"I32", DType::kI32}, {"I16", DType::kI16}, {"I8", DType::kI8},     {"U8", DType::kU8},   {"BOOL", DType::kBool},
};

struct Entry {
  TensorView tensor;
  bool has_dtype = false;
  bool has_shape = false;
  std::vector<uint64_t> offsets;
};

/// Receives nlohmann's parse events. Header = {name: {dtype, shape, data_offsets}, "__metadata__": {key: text}}.
/// Returning false stops the parser; `error` then says why.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::optional<Error> error;

  bool null() override { return fail("holds no null"); }
  bool boolean(bool) override { return fail("holds no true or false"); }
  bool number_integer(number_integer_t value) override { return fail(fmt::format("holds no negative number; got {}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return fail("holds whole numbers; got " + in_quotes(text)); }
  bool binary(binary_t&) override { return fail("is text"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& text) override;
  bool start_object(size_t) override;
  bool end_object() override;
  bool key(string_t& name) override;
  bool start_array(size_t) override;
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail(fmt::format("is valid JSON in UTF-8; got something else at byte {}", position));
  }

 private:
  bool fail(std::string_view rule) {
    if (!error) error = data_loss(fmt::format("the header {}{}", rule, key_.empty() ? "" : " (at " + in_quotes(key_) + ")"));
    return false;
  }
  bool in_tensor() const { return depth_ == 2 && !in_metadata_; }

  int depth_ = 0;
  bool in_metadata_ = false;
  bool in_array_ = false;
  bool metadata_seen_ = false;
  std::string key_, field_;
  std::unordered_set<std::string> names_;
};

bool HeaderReader::start_object(size_t) {
  if (in_array_ || depth_ >= 2 || (depth_ == 1 && key_.empty())) return fail("is an object of objects");
  ++depth_;
  return true;
}

bool HeaderReader::end_object() {
  --depth_;
  if (depth_ == 1 && !in_metadata_) {
    const Entry& entry = entries.back();
    if (!entry.has_dtype || !entry.has_shape || entry.offsets.size() != 2) {
      return fail("gives every tensor dtype, shape and two data_offsets; got less");
    }
  }
  if (depth_ == 1) in_metadata_ = false;
  return true;
}

bool HeaderReader::key(string_t& name) {
  if (depth_ == 2) {
    field_ = name;
    if (in_metadata_) return true;
    const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
    return known || fail("describes tensors by dtype, shape and data_offsets; got " + in_quotes(name));
  }
  key_ = name;
  if (name == "__metadata__") {
    if (metadata_seen_) return fail("names each entry once");
    metadata_seen_ = in_metadata_ = true;
    return true;
  }
  if (!is_printable_name(name)) return fail("names tensors in printable ASCII");
  if (!names_.insert(name).second) return fail("names each tensor once");
  if (entries.size() >= kSafetensorsTensorsMax) return fail(fmt::format("describes at most {} tensors", kSafetensorsTensorsMax));
  entries.emplace_back().tensor.name = name;
  return true;
}

bool HeaderReader::start_array(size_t) {
  if (!in_tensor() || in_array_ || field_ == "dtype") return fail("has lists of numbers only as shape and data_offsets");
  Entry& entry = entries.back();
  if (field_ == "shape" ? entry.has_shape : !entry.offsets.empty()) return fail("describes each tensor once");
  if (field_ == "shape") entry.has_shape = true;
  in_array_ = true;
  return true;
}

bool HeaderReader::number_unsigned(number_unsigned_t value) {
  if (!in_tensor() || !in_array_) return fail("has numbers only in shape and data_offsets");
  std::vector<uint64_t>& list = field_ == "shape" ? entries.back().tensor.shape : entries.back().offsets;
  const size_t most = field_ == "shape" ? kTensorRankMax : 2;
  if (list.size() >= most) return fail(fmt::format("has at most {} numbers in {}", most, field_));
  list.push_back(value);
  return true;
}

bool HeaderReader::string(string_t& text) {
  if (depth_ == 2 && in_metadata_) {
    metadata[field_] = text;
    return true;
  }
  if (!in_tensor() || in_array_ || field_ != "dtype") return fail("has texts only as dtype and in __metadata__");
  Entry& entry = entries.back();
  const auto* const type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& t) { return t.name == text; });
  if (type == std::end(kTypes)) {
    error = Error{ErrorCode::kUnimplemented, fmt::format("[safetensors] tensor types F32 F16 BF16 F64 I64 I32 I16 I8 U8 BOOL are read; "
                                                         "got {} in {}; try a copy saved in bfloat16", in_quotes(text), in_quotes(key_))};
    return false;
  }
  if (entry.has_dtype) return fail("describes each tensor once");
  entry.tensor.dtype = *type->dtype;
  entry.has_dtype = true;
  return true;
}

/// Bytes follow each other from the first to the last byte of the data, as the format has it.
Result<void> place(std::vector<Entry>& entries, std::span<const std::byte> data) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  uint64_t at = 0;
  for (Entry& entry : entries) {
    const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin != at || end < begin || end > data.size()) {
      return data_loss(fmt::format("tensors follow each other inside the file; got {} at bytes {} to {} behind byte {} of {}; try "
                                   "fetching the file again", in_quotes(entry.tensor.name), begin, end, at, data.size()));
    }
    at = end;
    entry.tensor.bytes = data.subspan(begin, end - begin);
    ACC_TRY_VOID(check_tensor(entry.tensor));
    const uint32_t element = dtype_traits(entry.tensor.dtype).block_bytes;
    if (reinterpret_cast<uintptr_t>(entry.tensor.bytes.data()) % element != 0 && begin != end) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[safetensors] tensors start at multiples of their element's {} bytes; got {} "
                                                          "off that; try saving the model again with a current safetensors",
                                                          element, in_quotes(entry.tensor.name))};
    }
  }
  if (at != data.size()) {
    return data_loss(fmt::format("the header describes the whole file; got {} bytes of {}", at, data.size()));
  }
  return {};
}

}  // namespace

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes) {
  uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) {
    return data_loss(fmt::format("a file begins with the 8-byte length of its header; got {} bytes in all", bytes.size()));
  }
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  const std::span<const std::byte> rest = bytes.subspan(sizeof header_size);
  if (header_size > kSafetensorsHeaderBytesMax || header_size > rest.size()) {
    return data_loss(fmt::format("the header is at most {} bytes and inside the file; got {} with {} bytes left; try fetching the "
                                 "file again", kSafetensorsHeaderBytesMax, header_size, rest.size()));
  }
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), header_size);
  if (!header.starts_with('{')) return data_loss("the header begins with '{'; got " + in_quotes(header.substr(0, 4)));
  HeaderReader reader;
  if (!Json::sax_parse(header.begin(), header.end(), &reader)) {
    return reader.error.value_or(data_loss("the header is valid JSON; got something else"));
  }
  ACC_TRY_VOID(place(reader.entries, rest.subspan(header_size)));
  SafetensorsFile file;
  file.metadata = std::move(reader.metadata);
  file.tensors.reserve(reader.entries.size());
  for (Entry& entry : reader.entries) file.tensors.push_back(std::move(entry.tensor));
  return file;
}

Result<std::map<std::string, std::string>> parse_safetensors_index(std::string_view text) {
  ACC_TRY(const Json json, parse_json(text, {.where = "safetensors", .bytes_max = kSafetensorsHeaderBytesMax, .depth_max = 8}));
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object() || map->empty()) return data_loss("an index has a weight_map of tensors; got none");
  std::map<std::string, std::string> files;
  std::set<std::string> different;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) return data_loss("an index maps tensors to file names; got another value for " + in_quotes(tensor));
    const std::string& name = file.get_ref<const std::string&>();
    if (!is_printable_name(name) || name.find_first_of("/\\") != std::string::npos || name == "." || name == "..") {
      return data_loss("an index names files of its own directory; got " + in_quotes(name));
    }
    different.insert(name);
    files.emplace(tensor, name);
  }
  if (different.size() > kSafetensorsShardsMax) {
    return data_loss(fmt::format("a model has at most {} shards; got {}", kSafetensorsShardsMax, different.size()));
  }
  return files;
}

}  // namespace accelerate
