#include "accelerate/formats/gguf_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

constexpr uint32_t kVersion = 3;
constexpr mode_t kMode = 0644;

Error bad(std::string text) { return Error{ErrorCode::kInvalidArgument, "[gguf] " + std::move(text)}; }

template <class T>
void put_number(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put_number<uint64_t>(out, text.size());
  out += text;
}

uint64_t aligned(uint64_t bytes, uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

Result<uint64_t> checked_bytes(const GgufTensorInfo& tensor) {
  if (tensor.name.size() > kGgufNameBytesMax || !is_printable_name(tensor.name)) {
    return bad(fmt::format("a tensor name is printable ASCII; got {}", in_quotes(tensor.name)));
  }
  if (tensor.shape.empty() || tensor.shape.size() > kGgufRankMax) {
    return bad(fmt::format("a tensor has 1 to {} dimensions; got {} in {}", kGgufRankMax, tensor.shape.size(), in_quotes(tensor.name)));
  }
  if (!gguf_tensor_type(tensor.dtype)) {
    return bad(fmt::format("GGUF has a number for the type; got {} in {}", dtype_traits(tensor.dtype).name, in_quotes(tensor.name)));
  }
  uint64_t elements = 1;
  for (const uint64_t dimension : tensor.shape) {
    if (dimension == 0 || elements > UINT64_MAX / 64 / dimension) {
      return bad(fmt::format("dimensions are at least 1 and their product fits; got {} in {}", dimension, in_quotes(tensor.name)));
    }
    elements *= dimension;
  }
  if (tensor.shape.back() % dtype_traits(tensor.dtype).block_elements != 0) {
    return bad(fmt::format("rows of {} divide by {}; got {} in {}", dtype_traits(tensor.dtype).name, dtype_traits(tensor.dtype).block_elements,
                           tensor.shape.back(), in_quotes(tensor.name)));
  }
  ACC_TRY(const size_t bytes, byte_size(tensor.dtype, elements));
  return uint64_t{bytes};
}

void put_tensor_info(std::string& header, const GgufTensorInfo& tensor, uint64_t offset) {
  put_text(header, tensor.name);
  put_number(header, static_cast<uint32_t>(tensor.shape.size()));
  for (auto dimension = tensor.shape.rbegin(); dimension != tensor.shape.rend(); ++dimension) put_number(header, *dimension);
  put_number(header, *gguf_tensor_type(tensor.dtype));
  put_number(header, offset);
}

bool taken(const std::filesystem::path& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

Error already(const std::filesystem::path& path) {
  return Error{ErrorCode::kAlreadyExists, fmt::format("[gguf] '{}' is not replaced unasked; got a file that is there; try another name, or --force", path.string())};
}

/// Where the file goes: behind a link, never in the place of a folder or a device.
Result<std::filesystem::path> place_of(const std::filesystem::path& path) {
  std::error_code problem;
  const std::filesystem::file_status status = std::filesystem::status(path, problem);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return bad(fmt::format("a GGUF file is written to a regular file; got '{}'", path.string()));
  }
  if (!std::filesystem::is_symlink(path, problem)) return path;
  const std::filesystem::path target = std::filesystem::canonical(path, problem);
  if (problem) return errno_error(problem.value(), "gguf", "following", path);
  return target;
}

}  // namespace

void GgufMetadata::set(std::string_view key, GgufType type, std::span<const std::byte> bytes) {
  auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.key == key; });
  if (found == entries_.end()) found = entries_.insert(entries_.end(), {std::string(key), type, {}});
  found->type = type;
  found->bytes.assign(bytes.begin(), bytes.end());
}

void GgufMetadata::text(std::string_view key, std::string_view value) {
  std::string bytes;
  put_text(bytes, value);
  set(key, GgufType::kString, std::as_bytes(std::span(bytes)));
}

void GgufMetadata::integer(std::string_view key, uint32_t value) { set(key, GgufType::kU32, std::as_bytes(std::span(&value, 1))); }

Result<std::unique_ptr<GgufFileWriter>> GgufFileWriter::create(const std::filesystem::path& path, GgufMetadata metadata,
                                                               std::vector<GgufTensorInfo> tensors, const Options& options) {
  CHECK(std::has_single_bit(options.alignment) && options.alignment >= 8 && options.alignment <= kGgufAlignmentMax, "a power of two readers take");
  if (!options.replace && taken(path)) return already(path);
  std::unique_ptr<GgufFileWriter> writer(new GgufFileWriter);
  ACC_TRY(writer->path_, place_of(path));
  writer->replace_ = options.replace;
  writer->alignment_ = options.alignment;
  if (options.alignment != 32) metadata.integer("general.alignment", static_cast<uint32_t>(options.alignment));
  std::string header = "GGUF";
  put_number(header, kVersion);
  put_number<uint64_t>(header, tensors.size());
  put_number<uint64_t>(header, metadata.entries_.size());
  for (const GgufMetadata::Entry& entry : metadata.entries_) {
    if (entry.key.size() > kGgufNameBytesMax || !is_printable_name(entry.key)) {
      return bad(fmt::format("a metadata key is printable ASCII; got {}", in_quotes(entry.key)));
    }
    put_text(header, entry.key);
    put_number(header, static_cast<uint32_t>(entry.type));
    header.append(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size());
  }
  std::unordered_set<std::string_view> names;
  uint64_t offset = 0;
  for (const GgufTensorInfo& tensor : tensors) {
    ACC_TRY(const uint64_t bytes, checked_bytes(tensor));
    if (!names.insert(tensor.name).second) return bad(fmt::format("tensor names are unique; got {} twice", in_quotes(tensor.name)));
    put_tensor_info(header, tensor, offset);
    writer->bytes_of_.push_back(bytes);
    offset += aligned(bytes, options.alignment);
  }
  header.resize(aligned(header.size(), options.alignment), '\0');
  writer->size_ = header.size() + offset;
  ACC_TRY_VOID(writer->open(header));
  return writer;
}

Result<void> GgufFileWriter::open(const std::string& header) {
  std::string temporary = path_.string() + ".XXXXXX";
  descriptor_ = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor_ < 0) return errno_error(errno, "gguf", "creating", temporary);
  temporary_ = temporary;
  // A file system that can not claim room (EOPNOTSUPP) says so when it is written to.
  if (::fallocate(descriptor_, 0, 0, static_cast<off_t>(size_)) != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    Error error = errno_error(errno, "gguf", "claiming room for", path_);
    error.message += fmt::format("; got {} MiB to write; try a folder with more room", size_ >> 20);
    return error;
  }
  return put(std::as_bytes(std::span(header)));
}

GgufFileWriter::~GgufFileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> GgufFileWriter::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error(errno, "gguf", "writing", path_);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Result<void> GgufFileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    CHECK(tensor_ < bytes_of_.size(), "no more bytes than the tensors have");
    const uint64_t size = bytes_of_[tensor_], count = std::min<uint64_t>(size - written_, bytes.size());
    ACC_TRY_VOID(put(bytes.first(count)));
    bytes = bytes.subspan(count);
    written_ += count;
    if (written_ < size) continue;
    const std::vector<std::byte> padding(aligned(size, alignment_) - size);
    ACC_TRY_VOID(put(padding));
    ++tensor_;
    written_ = 0;
  }
  return {};
}

Result<void> GgufFileWriter::finish() {
  CHECK(tensor_ == bytes_of_.size() && written_ == 0, "every tensor is complete");
  if (::fchmod(descriptor_, kMode) != 0) return errno_error(errno, "gguf", "setting the mode of", path_);
  if (::fsync(descriptor_) != 0) return errno_error(errno, "gguf", "syncing", path_);
  // Where the file system knows no exclusive rename (EINVAL), the look before is as good as it gets.
  bool renamed = !replace_ && ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0;
  if (!renamed && !replace_ && (errno == EEXIST || taken(path_))) return already(path_);
  renamed = renamed || ::rename(temporary_.c_str(), path_.c_str()) == 0;
  if (!renamed) return errno_error(errno, "gguf", "renaming to", path_);
  temporary_.clear();
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened >= 0) {
    ::fsync(opened);  // the rename itself outlives a power cut; some file systems refuse, and the content is safe by then
    ::close(opened);
  }
  return {};
}

}  // namespace accelerate
