// ProgramEntry - one artifact of the program cache as it lies on disk: what it depends on, and what it consists of.
//
//   const std::string key = program_key(program_parts({.model_id = id, .backend = "max", ...}));
//   ACC_TRY(const ProgramEntry entry, read_program_entry(cache / key, key));    // sizes agree with the files that are there
//   ACC_TRY_VOID(check_program_files(entry, cache / key, progress));            // contents, too
//
// The folder KEY has entry.json, artifact/ with what the backend wrote, and in_use, whose lock says that a process uses it
// and whose time says when one began to. Whatever is in there is foreign: it is read with limits, names in entry.json are compared
// with the files found and never opened, links are refused. Plain data; errors begin with [program cache].
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr size_t kProgramEntryBytesMax = size_t{4} << 20;  // of entry.json
inline constexpr size_t kProgramFilesMax = 4096;                  // of one artifact
inline constexpr int kProgramFolderDepthMax = 16;
inline constexpr const char* kProgramEntryFile = "entry.json";
inline constexpr const char* kProgramArtifactFolder = "artifact";
inline constexpr const char* kProgramInUseFile = "in_use";

/// Everything that an artifact depends on, by name.
using ProgramParts = std::map<std::string, std::string>;

struct ProgramWish {
  std::string model_id, graph_hash;      // formats/model_id.h, core/graph.h
  std::string backend, versions;         // its name; engine/fingerprint.h, exact_versions()
  std::string device, device_name;       // "cuda:0", "NVIDIA H200"
  std::string machine;                   // CPU and kernel family: a cache may be shared by machines
  std::string quantization;              // of what the weights become
  CompileOptions compile;                // all but memory_bytes and artifact_dir
  uint32_t threads = 0;                  // that compile.threads = 0 stands for
};
ProgramParts program_parts(const ProgramWish& wish);
/// sha256 over names and values with their lengths: other parts never share a key.
std::string program_key(const ProgramParts& parts);
/// 64 digits of lower-case hex.
bool is_program_key(std::string_view name);

struct ProgramFile {
  std::string name;                      // in artifact/, with '/'
  uint64_t bytes = 0;
  std::string sha256;
};
struct ProgramEntry {
  std::string key;
  ProgramParts parts;
  std::string model;                     // its name when it was compiled, for people
  std::string artifact;                  // the file or folder in artifact/; "." = all of it
  std::vector<ProgramFile> files;        // by name
  uint64_t bytes = 0;                    // of all files
  int64_t created_unix_s = 0, used_unix_s = 0;
  bool in_use = false;                   // by a living process; ProgramCache says it
  std::string problem;                   // why it can not be used; empty = nothing found. ProgramCache says it
};

/// The regular files below `folder` by name, without hashes. data_loss for links and devices, resource_exhausted over a limit.
Result<std::vector<ProgramFile>> list_program_files(const std::filesystem::path& folder);
/// Fills the hashes of `files` and writes the files through to the disk.
Result<void> seal_program_files(const std::filesystem::path& folder, std::vector<ProgramFile>& files, Progress& progress);
std::string program_entry_text(const ProgramEntry& entry);
/// data_loss where entry.json is not ours, not of `key`, or does not agree with the names and sizes of the files.
Result<ProgramEntry> read_program_entry(const std::filesystem::path& folder, const std::string& key);
/// Reads every byte: data_loss naming the file whose content changed, cancelled.
Result<void> check_program_files(const ProgramEntry& entry, const std::filesystem::path& folder, Progress& progress);

}  // namespace accelerate
