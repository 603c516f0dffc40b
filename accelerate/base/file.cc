#include "accelerate/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace accelerate {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { if (value_ >= 0) ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

constexpr size_t kReadPiece = size_t{1} << 16;
constexpr mode_t kModeBits = 0777, kModeNew = 0644;

// A replaced file keeps its mode: a configuration somebody made private stays private.
mode_t mode_for(const std::filesystem::path& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & kModeBits : kModeNew;
}

// Makes the rename itself last through a power cut. Some file systems refuse it, and the content is safe by then.
void sync_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() >= 0) ::fsync(descriptor.get());
}

Result<void> check_regular(int descriptor, const std::filesystem::path& path, std::string_view action, struct stat& status) {
  if (::fstat(descriptor, &status) != 0) return errno_error(errno, "base", action, path);
  if (S_ISREG(status.st_mode)) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("[base] {} takes a regular file; got '{}'", action, path.string())};
}

Result<void> write_all(int descriptor, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(errno, "base", "writing", path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(descriptor) != 0) return errno_error(errno, "base", "syncing", path);
  return {};
}

}  // namespace

Error errno_error(int error_number, std::string_view where, std::string_view action, const std::filesystem::path& path) {
  ErrorCode code = ErrorCode::kUnknown;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: code = ErrorCode::kNotFound; break;
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kPermissionDenied; break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
    case EMFILE:
    case ENFILE: code = ErrorCode::kResourceExhausted; break;
    case EEXIST: code = ErrorCode::kAlreadyExists; break;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP: code = ErrorCode::kInvalidArgument; break;
    default: break;
  }
  return {code, fmt::format("[{}] {} '{}': {}", where, action, path.string(), std::strerror(error_number))};
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) return errno_error(errno, "base", "opening", path);
  struct stat status{};
  ACC_TRY_VOID(check_regular(descriptor.get(), path, "mapping", status));
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->size_ = static_cast<size_t>(status.st_size);
  if (file->size_ > 0) {
    void* address = ::mmap(nullptr, file->size_, PROT_READ, MAP_SHARED, descriptor.get(), 0);
    if (address == MAP_FAILED) {
      file->size_ = 0;
      return errno_error(errno, "base", "mapping", path);
    }
    file->data_ = static_cast<const std::byte*>(address);
  }
  return std::shared_ptr<const MappedFile>(std::move(file));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> part) const {
  // Only whole pages inside the part: its neighbours may still be needed.
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Result<std::string> read_file(const std::filesystem::path& path, size_t bytes_max) {
  // read(), not a map: the file may shrink meanwhile (a map would end in SIGBUS), and those of /proc say size 0.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) return errno_error(errno, "base", "opening", path);
  struct stat status{};
  ACC_TRY_VOID(check_regular(descriptor.get(), path, "reading", status));
  std::string text;
  for (size_t size = 0;;) {
    if (size > bytes_max || static_cast<uint64_t>(status.st_size) > bytes_max) {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[base] '{}' has at most {} bytes; got {}", path.string(), bytes_max,
                                                              std::max<uint64_t>(size, static_cast<uint64_t>(status.st_size)))};
    }
    text.resize(size + kReadPiece);
    const ssize_t count = ::read(descriptor.get(), text.data() + size, kReadPiece);
    if (count < 0 && errno != EINTR) return errno_error(errno, "base", "reading", path);
    if (count > 0) size += static_cast<size_t>(count);
    text.resize(size);
    if (count == 0) return text;
  }
}

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  std::error_code problem;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), problem);
  if (problem) return errno_error(problem.value(), "base", "creating the folder of", path);
  std::string temporary = path.string() + ".XXXXXX";
  const Descriptor descriptor(::mkostemp(temporary.data(), O_CLOEXEC));
  if (descriptor.get() < 0) return errno_error(errno, "base", "creating", temporary);
  Result<void> written = write_all(descriptor.get(), content, path);
  if (written && ::fchmod(descriptor.get(), mode_for(path)) != 0) written = errno_error(errno, "base", "setting the mode of", path);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = errno_error(errno, "base", "renaming to", path);
  if (written) sync_folder_of(path);
  else ::unlink(temporary.c_str());
  return written;
}

}  // namespace accelerate
