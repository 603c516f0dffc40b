#include "accelerate/engine/program_entry.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhere = "program cache";
constexpr int kVersion = 1;
constexpr size_t kEntryValuesMax = 8 * kProgramFilesMax;  // a file is four values

Error broken(const fs::path& folder, const std::string& why) {
  return {ErrorCode::kDataLoss, fmt::format("[{}] '{}' is as it was written; got {}", kWhere, folder.string(), why)};
}

Result<void> sync_path(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return errno_error(errno, kWhere, "opening", path);
  const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems refuse to sync a folder, and the files are safe by then.
  if (failed != 0 && (flags & O_DIRECTORY) == 0) return errno_error(failed, kWhere, "syncing", path);
  return {};
}

Result<std::string> hash_of(const fs::path& path, std::string_view what, uint64_t done, uint64_t total, Progress& progress) {
  return sha256_file(path, [&](uint64_t bytes) { return progress.update(what, std::min(done + bytes, total), total, "bytes"); });
}

uint64_t bytes_of(const std::vector<ProgramFile>& files) {
  uint64_t total = 0;
  for (const ProgramFile& file : files) total += file.bytes;
  return total;
}

std::optional<std::string> text_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return found->get<std::string>();
}

std::optional<uint64_t> number_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return {};
  return found->get<uint64_t>();
}

// What of it is not as program_entry_text() writes it; empty = nothing.
std::string take_fields(const Json& json, ProgramEntry& entry) {
  if (!json.is_object() || number_in(json, "version") != kVersion) return "an entry of another version";
  const auto key = text_in(json, "key"), model = text_in(json, "model"), artifact = text_in(json, "artifact");
  const auto created = number_in(json, "created_unix_s");
  const auto parts = json.find("parts"), files = json.find("files");
  if (!key || !model || !artifact || !created || *created > uint64_t{INT64_MAX}) return "an entry without all of its fields";
  if (parts == json.end() || !parts->is_object() || files == json.end() || !files->is_array()) return "an entry without parts or files";
  entry.key = *key, entry.model = *model, entry.artifact = *artifact, entry.created_unix_s = static_cast<int64_t>(*created);
  for (const auto& [name, value] : parts->items()) {
    if (!value.is_string()) return "a part that is no text";
    entry.parts[name] = value.get<std::string>();
  }
  for (const Json& file : *files) {
    const auto name = file.is_object() ? text_in(file, "name") : std::nullopt, hash = file.is_object() ? text_in(file, "sha256") : std::nullopt;
    const auto bytes = file.is_object() ? number_in(file, "bytes") : std::nullopt;
    if (!name || !hash || !bytes) return "a file without name, size or hash";
    entry.files.push_back({.name = *name, .bytes = *bytes, .sha256 = *hash});
  }
  return {};
}

bool is_among(const std::string& artifact, const std::vector<ProgramFile>& files) {
  if (artifact == ".") return true;
  return std::any_of(files.begin(), files.end(), [&](const ProgramFile& file) { return file.name == artifact || file.name.starts_with(artifact + "/"); });
}

}  // namespace

ProgramParts program_parts(const ProgramWish& wish) {
  // All fields by name: a new one does not compile until somebody decided whether artifacts depend on it.
  const auto& [quantization, precision, deterministic, level, threads, context, kv_tokens, slots, memory_bytes, artifact_dir] = wish.compile;
  const std::string asked = quantization ? "made " : "own ";
  return {{"model", wish.model_id},
          {"graph", wish.graph_hash},
          {"backend", wish.backend},
          {"versions", wish.versions},
          {"device", wish.device},
          {"device_name", wish.device_name},
          {"machine", wish.machine},
          {"quantization", asked + wish.quantization},
          {"precision", precision == Precision::kExact ? "exact" : "default"},
          {"deterministic", deterministic ? "yes" : "no"},
          {"level", std::to_string(level)},
          {"threads", std::to_string(threads != 0 ? threads : wish.threads)},
          {"context", std::to_string(context)},
          {"kv_tokens", std::to_string(kv_tokens)},
          {"slots", std::to_string(slots)}};
}

std::string program_key(const ProgramParts& parts) {
  std::string text;
  for (const auto& [name, value] : parts) text += fmt::format("{}:{}={}:{}\n", name.size(), name, value.size(), value);
  return sha256_hex(text);
}

bool is_program_key(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::vector<ProgramFile>> list_program_files(const fs::path& folder) {
  std::vector<ProgramFile> files;
  std::error_code failed;
  if (fs::is_symlink(fs::symlink_status(folder, failed))) return broken(folder, "a link instead of a folder");
  auto it = fs::recursive_directory_iterator(folder, failed);
  for (; !failed && it != fs::recursive_directory_iterator(); it.increment(failed)) {
    const fs::file_status status = it->symlink_status(failed);
    if (failed) break;
    if (fs::is_directory(status)) {
      if (it.depth() < kProgramFolderDepthMax) continue;
      return Error{ErrorCode::kResourceExhausted, fmt::format("[{}] folders of an artifact nest at most {} deep; got '{}'", kWhere, kProgramFolderDepthMax, it->path().string())};
    }
    if (!fs::is_regular_file(status)) return broken(folder, fmt::format("'{}', which is no regular file", it->path().filename().string()));
    if (files.size() == kProgramFilesMax) {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[{}] an artifact has at most {} files; got more in '{}'", kWhere, kProgramFilesMax, folder.string())};
    }
    files.push_back({.name = it->path().lexically_relative(folder).generic_string(), .bytes = it->file_size(failed), .sha256 = {}});
    if (failed) break;
  }
  if (failed) return errno_error(failed.value(), kWhere, "listing", folder);
  std::sort(files.begin(), files.end(), [](const ProgramFile& a, const ProgramFile& b) { return a.name < b.name; });
  return files;
}

Result<void> seal_program_files(const fs::path& folder, std::vector<ProgramFile>& files, Progress& progress) {
  const uint64_t total = bytes_of(files);
  uint64_t done = 0;
  for (ProgramFile& file : files) {
    ACC_TRY(file.sha256, hash_of(folder / file.name, "keeping the artifact", done, total, progress));
    ACC_TRY_VOID(sync_path(folder / file.name, O_RDONLY));
    ACC_TRY_VOID(sync_path((folder / file.name).parent_path(), O_RDONLY | O_DIRECTORY));
    done += file.bytes;
  }
  return sync_path(folder, O_RDONLY | O_DIRECTORY);
}

std::string program_entry_text(const ProgramEntry& entry) {
  Json files = Json::array();
  for (const ProgramFile& file : entry.files) files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  return dump_json({{"version", kVersion}, {"key", entry.key}, {"parts", entry.parts}, {"model", entry.model}, {"artifact", entry.artifact},
                    {"files", files}, {"created_unix_s", entry.created_unix_s}}, 1);
}

Result<ProgramEntry> read_program_entry(const fs::path& folder, const std::string& key) {
  std::error_code ignored;
  if (fs::is_symlink(fs::symlink_status(folder, ignored)) || fs::is_symlink(fs::symlink_status(folder / kProgramEntryFile, ignored))) {
    return broken(folder, "a link");
  }
  Result<std::string> text = read_file(folder / kProgramEntryFile, kProgramEntryBytesMax);
  if (!text && text.error().code == ErrorCode::kNotFound) return broken(folder, fmt::format("no {}", kProgramEntryFile));
  if (!text && text.error().code == ErrorCode::kResourceExhausted) return broken(folder, text.error().message);
  if (!text) return text.error();
  const Result<Json> json = parse_json(*text, {.where = kWhere, .bytes_max = kProgramEntryBytesMax, .depth_max = 4, .values_max = kEntryValuesMax});
  if (!json) return broken(folder, json.error().message);
  ProgramEntry entry;
  if (const std::string why = take_fields(*json, entry); !why.empty()) return broken(folder, why);
  if (entry.key != key || program_key(entry.parts) != key) return broken(folder, "the entry of another key");
  Result<std::vector<ProgramFile>> there = list_program_files(folder / kProgramArtifactFolder);
  if (!there && there.error().code == ErrorCode::kNotFound) return broken(folder, "no artifact");
  if (!there) return there.error();
  // Never the other way round: names of entry.json open nothing before they are those of files found.
  const bool same = std::equal(there->begin(), there->end(), entry.files.begin(), entry.files.end(),
                               [](const ProgramFile& a, const ProgramFile& b) { return a.name == b.name && a.bytes == b.bytes; });
  if (!same) return broken(folder, "files of other names or sizes");
  if (entry.files.empty() || !is_among(entry.artifact, entry.files)) return broken(folder, "an artifact that is not there");
  entry.bytes = bytes_of(entry.files);
  return entry;
}

Result<void> check_program_files(const ProgramEntry& entry, const fs::path& folder, Progress& progress) {
  uint64_t done = 0;
  for (const ProgramFile& file : entry.files) {
    ACC_TRY(const std::string hash, hash_of(folder / kProgramArtifactFolder / file.name, "checking the artifact", done, entry.bytes, progress));
    if (hash != file.sha256) return broken(folder, fmt::format("other bytes in '{}'", file.name));
    done += file.bytes;
  }
  return {};
}

}  // namespace accelerate
