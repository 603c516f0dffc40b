#include "accelerate/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

static_assert(std::endian::native == std::endian::little, "the reader copies little-endian numbers as they are");

constexpr uint64_t kTensorInfoBytesMin = 8 + 4 + 4 + 8;  // empty name, no dimensions, type, offset
constexpr uint64_t kMetadataBytesMin = 8 + 4 + 1;        // empty key, type, one byte

/// GGUF's tensor type numbers. Types without a DType are here so that an error can name them.
struct TensorType {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype;
};
constexpr TensorType kTensorTypes[] = {
    {0, "F32", DType::kF32},    {1, "F16", DType::kF16},    {2, "Q4_0", DType::kQ4_0},  {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},  {7, "Q5_1", DType::kQ5_1},  {8, "Q8_0", DType::kQ8_0},  {9, "Q8_1", {}},
    {10, "Q2_K", {}},           {11, "Q3_K", {}},           {12, "Q4_K", DType::kQ4_K}, {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K}, {15, "Q8_K", {}},           {16, "IQ2_XXS", {}},        {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},        {19, "IQ1_S", {}},          {20, "IQ4_NL", {}},         {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},          {23, "IQ4_XS", {}},         {24, "I8", DType::kI8},     {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},   {27, "I64", DType::kI64},   {28, "F64", DType::kF64},   {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16}, {34, "TQ1_0", {}},          {35, "TQ2_0", {}},          {39, "MXFP4", {}},
};

/// Bytes of a metadata number; 0 for strings, arrays and unknown types.
uint64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8: case GgufType::kI8: case GgufType::kBool: return 1;
    case GgufType::kU16: case GgufType::kI16: return 2;
    case GgufType::kU32: case GgufType::kI32: case GgufType::kF32: return 4;
    case GgufType::kU64: case GgufType::kI64: case GgufType::kF64: return 8;
    case GgufType::kString: case GgufType::kArray: return 0;
  }
  return 0;
}

template <class T> T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

GgufValue load_scalar(GgufType type, const std::byte* from) {
  switch (type) {
    case GgufType::kU8: return uint64_t{load<uint8_t>(from)};
    case GgufType::kI8: return int64_t{load<int8_t>(from)};
    case GgufType::kU16: return uint64_t{load<uint16_t>(from)};
    case GgufType::kI16: return int64_t{load<int16_t>(from)};
    case GgufType::kU32: return uint64_t{load<uint32_t>(from)};
    case GgufType::kI32: return int64_t{load<int32_t>(from)};
    case GgufType::kU64: return load<uint64_t>(from);
    case GgufType::kI64: return load<int64_t>(from);
    case GgufType::kF32: return double{load<float>(from)};
    case GgufType::kF64: return load<double>(from);
    case GgufType::kBool: return load<uint8_t>(from) != 0;
    case GgufType::kString: case GgufType::kArray: break;
  }
  CHECK(false, "load_scalar is for types with scalar_bytes");
}

Error data_loss(std::string text) { return Error{ErrorCode::kDataLoss, "[gguf] " + std::move(text)}; }

/// Reads forward; every read first asks whether the bytes are there.
class Parser {
 public:
  explicit Parser(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<GgufFile> parse();

 private:
  uint64_t left() const { return bytes_.size() - at_; }
  Error truncated(std::string_view what) const {
    return data_loss(fmt::format("the file goes on behind {}; got an end after {} bytes; try fetching it again", what, bytes_.size()));
  }
  template <class T> Result<T> read(std::string_view what) {
    if (left() < sizeof(T)) return truncated(what);
    const T value = load<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }
  Result<std::string_view> read_string(std::string_view what);
  Result<std::string_view> read_name(std::string_view what);
  Result<GgufValue> read_value(uint32_t type, std::string_view key);
  Result<GgufArray> read_array(std::string_view key, int depth);
  Result<uint64_t> read_count(std::string_view what, uint64_t most, uint64_t item_bytes_min);
  Result<void> read_header(GgufFile& file);
  Result<void> read_metadata(GgufFile& file);
  Result<void> read_alignment(GgufFile& file);
  Result<void> read_tensor_infos(GgufFile& file);
  Result<TensorView> read_tensor_info();
  Result<void> place_tensors(GgufFile& file);

  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  uint64_t tensor_count_ = 0, metadata_count_ = 0;
  std::vector<uint64_t> offsets_;  // of tensors, relative to the data section
};

Result<std::string_view> Parser::read_string(std::string_view what) {
  ACC_TRY(const uint64_t length, read<uint64_t>(what));
  if (length > left()) {
    return data_loss(fmt::format("a text lies inside the file; got length {} with {} bytes left in {}", length, left(), what));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + at_), length);
  at_ += length;
  return text;
}

Result<std::string_view> Parser::read_name(std::string_view what) {
  ACC_TRY(const std::string_view name, read_string(what));
  if (name.size() > kGgufNameBytesMax || !is_printable_name(name)) {
    return data_loss(fmt::format("{} is 1 to {} printable ASCII characters; got {} bytes, {}", what, kGgufNameBytesMax,
                                 name.size(), in_quotes(name)));
  }
  return name;
}

Result<uint64_t> Parser::read_count(std::string_view what, uint64_t most, uint64_t item_bytes_min) {
  ACC_TRY(const uint64_t count, read<uint64_t>(what));
  if (count > most) return data_loss(fmt::format("{} is at most {}; got {}", what, most, count));
  if (count > left() / item_bytes_min) {
    return data_loss(fmt::format("{} items fit the file; got {} with {} bytes left", what, count, left()));
  }
  return count;
}

Result<void> Parser::read_header(GgufFile& file) {
  if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
    const size_t shown = std::min<size_t>(bytes_.size(), 4);
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[gguf] a GGUF file begins with 'GGUF'; got {}",
                             shown == 0 ? "an empty file" : in_quotes({reinterpret_cast<const char*>(bytes_.data()), shown}))};
  }
  at_ = 4;
  ACC_TRY(file.version, read<uint32_t>("the version"));
  if (file.version != 0 && (file.version & 0xffff) == 0) {
    return Error{ErrorCode::kUnimplemented, "[gguf] files are little-endian; got a big-endian file; try the little-endian download"};
  }
  if (file.version != 2 && file.version != 3) {
    return Error{ErrorCode::kUnimplemented, fmt::format("[gguf] versions 2 and 3 are read; got version {}; try converting the "
                                                        "model again with a current converter", file.version)};
  }
  ACC_TRY(tensor_count_, read_count("the tensor count", kGgufTensorsMax, kTensorInfoBytesMin));
  ACC_TRY(metadata_count_, read_count("the metadata count", kGgufMetadataMax, kMetadataBytesMin));
  return {};
}

Result<GgufArray> Parser::read_array(std::string_view key, int depth) {
  if (depth > kGgufArrayDepthMax) return data_loss(fmt::format("arrays nest at most {} deep; got more in {}", kGgufArrayDepthMax, in_quotes(key)));
  GgufArray array;
  ACC_TRY(const uint32_t element, read<uint32_t>(key));
  array.element = static_cast<GgufType>(element);
  const uint64_t size = scalar_bytes(array.element);
  const bool nested = array.element == GgufType::kArray;
  if (size == 0 && !nested && array.element != GgufType::kString) {
    return data_loss(fmt::format("array elements have a known type; got type {} in {}", element, in_quotes(key)));
  }
  const uint64_t element_bytes_min = size != 0 ? size : nested ? 12 : 8;  // 12: type and count; 8: length
  ACC_TRY(array.count, read_count(key, UINT64_MAX, element_bytes_min));
  const uint64_t begin = at_;
  if (size != 0) {
    at_ += array.count * size;
  } else if (nested) {
    for (uint64_t i = 0; i < array.count; ++i) ACC_TRY_VOID(read_array(key, depth + 1));
  } else {
    array.strings.reserve(array.count);
    for (uint64_t i = 0; i < array.count; ++i) {
      ACC_TRY(const std::string_view text, read_string(key));
      array.strings.push_back(text);
    }
  }
  array.bytes = bytes_.subspan(begin, at_ - begin);
  return array;
}

Result<GgufValue> Parser::read_value(uint32_t type_number, std::string_view key) {
  const auto type = static_cast<GgufType>(type_number);
  if (type == GgufType::kString) {
    ACC_TRY(const std::string_view text, read_string(key));
    return GgufValue(text);
  }
  if (type == GgufType::kArray) {
    ACC_TRY(GgufArray array, read_array(key, 1));
    return GgufValue(std::move(array));
  }
  const uint64_t size = scalar_bytes(type);
  if (size == 0) return data_loss(fmt::format("metadata has a known type; got type {} for {}", type_number, in_quotes(key)));
  if (left() < size) return truncated(key);
  at_ += size;
  return load_scalar(type, bytes_.data() + at_ - size);
}

Result<void> Parser::read_metadata(GgufFile& file) {
  for (uint64_t i = 0; i < metadata_count_; ++i) {
    ACC_TRY(const std::string_view key, read_name("a metadata key"));
    ACC_TRY(const uint32_t type, read<uint32_t>(key));
    const uint64_t begin = at_;
    ACC_TRY(GgufValue value, read_value(type, key));
    file.entries.push_back({key, static_cast<GgufType>(type), bytes_.subspan(begin, at_ - begin)});
    if (!file.metadata.emplace(std::string(key), std::move(value)).second) {
      return data_loss(fmt::format("metadata keys are unique; got {} twice", in_quotes(key)));
    }
  }
  return read_alignment(file);
}

Result<void> Parser::read_alignment(GgufFile& file) {
  ACC_TRY(const std::optional<uint64_t> alignment, file.integer("general.alignment"));
  if (!alignment) return {};
  if (!std::has_single_bit(*alignment) || *alignment < 8 || *alignment > kGgufAlignmentMax) {
    return data_loss(fmt::format("general.alignment is a power of two from 8 to {}; got {}", kGgufAlignmentMax, *alignment));
  }
  file.alignment = *alignment;
  return {};
}

Result<TensorView> Parser::read_tensor_info() {
  TensorView tensor;
  ACC_TRY(const std::string_view name, read_name("a tensor name"));
  tensor.name = name;
  ACC_TRY(const uint32_t rank, read<uint32_t>(name));
  if (rank < 1 || rank > kGgufRankMax) {
    return data_loss(fmt::format("a tensor has 1 to {} dimensions; got {} in {}", kGgufRankMax, rank, in_quotes(name)));
  }
  tensor.shape.resize(rank);
  for (uint32_t i = 0; i < rank; ++i) {
    ACC_TRY(const uint64_t dimension, read<uint64_t>(name));
    if (dimension == 0) return data_loss(fmt::format("a dimension is at least 1; got 0 in {}", in_quotes(name)));
    tensor.shape[rank - 1 - i] = dimension;  // the file has the innermost first
  }
  ACC_TRY(const uint32_t number, read<uint32_t>(name));
  const auto* const type = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes),
                                        [&](const TensorType& t) { return t.number == number; });
  if (type == std::end(kTensorTypes) || !type->dtype) {
    const bool known = type != std::end(kTensorTypes);
    return Error{ErrorCode::kUnimplemented,
                 fmt::format("[gguf] tensor types F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K are read; got {} (type "
                             "number {}) in {}; try another quantization of the model", known ? type->name : "an unknown type",
                             number, in_quotes(name))};
  }
  tensor.dtype = *type->dtype;
  ACC_TRY(const uint64_t offset, read<uint64_t>(name));
  offsets_.push_back(offset);
  return tensor;
}

Result<void> Parser::read_tensor_infos(GgufFile& file) {
  std::unordered_set<std::string_view> names;
  file.tensors.reserve(tensor_count_);
  offsets_.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    ACC_TRY(TensorView tensor, read_tensor_info());
    file.tensors.push_back(std::move(tensor));
    if (!names.insert(file.tensors.back().name).second) {
      return data_loss(fmt::format("tensor names are unique; got {} twice", in_quotes(file.tensors.back().name)));
    }
  }
  return {};
}

/// Gives every tensor its bytes; they lie inside the data section, aligned, without overlap.
Result<void> Parser::place_tensors(GgufFile& file) {
  const uint64_t begin = (at_ + file.alignment - 1) / file.alignment * file.alignment;
  file.data_offset = std::min<uint64_t>(begin, bytes_.size());
  const std::span<const std::byte> data = bytes_.subspan(file.data_offset);
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    TensorView& tensor = file.tensors[i];
    if (offsets_[i] % file.alignment != 0) {
      return data_loss(fmt::format("tensor offsets are multiples of {}; got {} for {}", file.alignment, offsets_[i], in_quotes(tensor.name)));
    }
    uint64_t elements = 1;
    for (const uint64_t dimension : tensor.shape) {
      if (elements > UINT64_MAX / dimension) return data_loss(fmt::format("tensor sizes fit 64 bits; got more in {}", in_quotes(tensor.name)));
      elements *= dimension;
    }
    const Result<size_t> stored = byte_size(tensor.dtype, elements);
    if (!stored) return data_loss(fmt::format("tensor {} has a storable size; got: {}", in_quotes(tensor.name), stored.error().message));
    const size_t size = *stored;
    if (offsets_[i] > data.size() || size > data.size() - offsets_[i]) {
      return data_loss(fmt::format("tensor {} lies inside the file; got bytes {} to {} of {} there are; try fetching the file again",
                                   in_quotes(tensor.name), offsets_[i], static_cast<unsigned __int128>(offsets_[i]) + size, data.size()));
    }
    tensor.bytes = data.subspan(offsets_[i], size);
    if (const Result<void> checked = check_tensor(tensor); !checked) return data_loss(checked.error().message);
  }
  std::vector<const TensorView*> sorted;
  sorted.reserve(file.tensors.size());
  for (const TensorView& tensor : file.tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->bytes.data() < b->bytes.data(); });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i - 1]->bytes.data() + sorted[i - 1]->bytes.size() > sorted[i]->bytes.data()) {
      return data_loss(fmt::format("tensors do not overlap; got {} and {} on the same bytes", in_quotes(sorted[i - 1]->name),
                                   in_quotes(sorted[i]->name)));
    }
  }
  return {};
}

Result<GgufFile> Parser::parse() {
  GgufFile file;
  ACC_TRY_VOID(read_header(file));
  ACC_TRY_VOID(read_metadata(file));
  ACC_TRY_VOID(read_tensor_infos(file));
  ACC_TRY_VOID(place_tensors(file));
  return file;
}

Error wrong_type(std::string_view key, std::string_view wanted, const GgufValue& value) {
  return Error{ErrorCode::kInvalidArgument, fmt::format("[gguf] {} is {}; got {}", in_quotes(key), wanted, to_string(value))};
}

struct Printer {
  std::string operator()(uint64_t v) const { return fmt::format("{}", v); }
  std::string operator()(int64_t v) const { return fmt::format("{}", v); }
  std::string operator()(double v) const { return fmt::format("{}", v); }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(std::string_view v) const { return in_quotes(v); }
  std::string operator()(const GgufArray& array) const {
    constexpr uint64_t kShown = 4;
    std::string out = "[";
    for (uint64_t i = 0; i < std::min(array.count, kShown); ++i) {
      if (i > 0) out += ", ";
      if (array.element == GgufType::kString) out += in_quotes(array.strings[i]);
      else if (const auto number = array.number(i)) out += fmt::format("{}", *number);
      else out += "[...]";
    }
    return out + (array.count > kShown ? fmt::format(", ... {} more]", array.count - kShown) : "]");
  }
};

}  // namespace

std::optional<double> GgufArray::number(uint64_t index) const {
  const uint64_t size = scalar_bytes(element);
  if (size == 0 || index >= count) return std::nullopt;
  return std::visit(
      [](const auto& v) -> std::optional<double> {
        if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(v)>>) return static_cast<double>(v);
        return std::nullopt;
      },
      load_scalar(element, bytes.data() + index * size));
}

std::string to_string(const GgufValue& value) { return std::visit(Printer{}, value); }

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

Result<std::optional<uint64_t>> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::optional<uint64_t>{};
  if (const auto* plain = std::get_if<uint64_t>(value)) return std::optional(*plain);
  const auto* with_sign = std::get_if<int64_t>(value);
  if (!with_sign || *with_sign < 0) return wrong_type(key, "a whole number, not negative", *value);
  return std::optional(static_cast<uint64_t>(*with_sign));
}

Result<std::optional<double>> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::optional<double>{};
  if (const auto* real = std::get_if<double>(value)) return std::optional(*real);
  if (const auto* whole = std::get_if<uint64_t>(value)) return std::optional(static_cast<double>(*whole));
  if (const auto* with_sign = std::get_if<int64_t>(value)) return std::optional(static_cast<double>(*with_sign));
  return wrong_type(key, "a number", *value);
}

Result<std::optional<bool>> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::optional<bool>{};
  if (const auto* flag = std::get_if<bool>(value)) return std::optional(*flag);
  return wrong_type(key, "true or false", *value);
}

Result<std::optional<std::string_view>> GgufFile::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::optional<std::string_view>{};
  if (const auto* text = std::get_if<std::string_view>(value)) return std::optional(*text);
  return wrong_type(key, "a text", *value);
}

Result<const GgufArray*> GgufFile::array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return static_cast<const GgufArray*>(nullptr);
  if (const auto* array = std::get_if<GgufArray>(value)) return array;
  return wrong_type(key, "an array", *value);
}

std::optional<uint32_t> gguf_tensor_type(DType type) {
  const auto* const found = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes), [&](const TensorType& t) { return t.dtype == type; });
  return found == std::end(kTensorTypes) ? std::nullopt : std::optional(found->number);
}

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes) { return Parser(bytes).parse(); }

}  // namespace accelerate
