#include "accelerate/engine/hub_pull.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/file_lock.h"
#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/random_id.h"
#include "accelerate/engine/hub.h"
#include "accelerate/engine/hub_client.h"
#include "accelerate/engine/pull_package.h"
#include "accelerate/engine/pull_recipe.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexFile = "model.safetensors.index.json";

Result<void> make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return errno_error(error.value(), "hub", "create", folder);
  return {};
}

/// The lock that other tools of the hub take too: flock on .locks/models--org--repo/ETAG.lock.
Result<FileLock> lock_blob(const fs::path& path, const HubFile& file, HubClient& client) {
  ACC_TRY_VOID(make_folder(path.parent_path()));
  Result<FileLock> lock = FileLock::take(path, "hub", [&] {
    client.tell("waiting for another download of " + file.name, 0, 0);
    return !client.stopped();
  });
  if (!lock && lock.error().code == ErrorCode::kCancelled) return client.cancelled();
  return lock;
}

uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

/// One pull: files of one commit into the cache.
class HubPull {
 public:
  HubPull(const HubName& name, const HubSettings& settings, Progress& progress)
      : name_(name), settings_(settings), folder_(hub_folder(name, settings)), client_(name, settings, progress) {}

  Result<void> run() {
    ACC_TRY(const HubListing listing, client_.list());
    ACC_TRY(const std::vector<std::string> chosen, choose_hub_files(name_, listing.files));
    commit_ = listing.commit;
    ACC_TRY_VOID(take(chosen));
    if (std::find(chosen.begin(), chosen.end(), kIndexFile) != chosen.end()) {
      ACC_TRY(const std::vector<std::string> shards, shards_of(snapshot() / kIndexFile, listing.files));
      ACC_TRY_VOID(take(shards));
    }
    // Last: whoever reads the revision finds the files of its commit.
    if (name_.revision == commit_) return {};
    return write_file_atomically(folder_ / "refs" / name_.revision, commit_);
  }

 private:
  fs::path snapshot() const { return folder_ / "snapshots" / commit_; }
  fs::path blob(const HubFile& file) const { return folder_ / "blobs" / file.etag; }

  Result<void> take(const std::vector<std::string>& names) {
    if (names.size() > kHubFilesMax) return Error{ErrorCode::kResourceExhausted, fmt::format("[hub] a model has at most {} files; got {} in {}", kHubFilesMax, names.size(), name_.repository)};
    std::vector<HubFile> files;
    uint64_t total = 0, missing = 0;
    for (const std::string& name : names) {
      ACC_TRY(HubFile file, client_.look_at(commit_, name));
      total += file.bytes;
      if (bytes_of(blob(file)) != file.bytes) missing += file.bytes - std::min(file.bytes, bytes_of(partial(file)));
      files.push_back(std::move(file));
    }
    ACC_TRY_VOID(make_folder(folder_ / "blobs"));
    ACC_TRY_VOID(check_hub_space(folder_, missing));
    uint64_t before = 0;
    for (const HubFile& file : files) {
      ACC_TRY_VOID(take_one(file, before, total));
      before += file.bytes;
    }
    client_.tell("fetched " + name_.word(), total, total);
    return {};
  }

  fs::path partial(const HubFile& file) const { return folder_ / "blobs" / (file.etag + ".incomplete"); }

  Result<void> take_one(const HubFile& file, uint64_t before, uint64_t total) {
    std::error_code ignored;
    if (!fs::is_regular_file(blob(file), ignored) || bytes_of(blob(file)) != file.bytes) {
      const fs::path lock_path = settings_.cache / ".locks" / folder_.filename() / (file.etag + ".lock");
      ACC_TRY(const FileLock lock, lock_blob(lock_path, file, client_));
      client_.tell("fetching " + file.name, before, total);
      if (client_.stopped()) return client_.cancelled();
      if (!fs::is_regular_file(blob(file), ignored) || bytes_of(blob(file)) != file.bytes) {  // another one may just have fetched it
        ACC_TRY_VOID(client_.fetch(file, partial(file)));
        fs::rename(partial(file), blob(file), ignored);
        if (ignored) return errno_error(ignored.value(), "hub", "rename into place", blob(file));
        sync_folder(folder_ / "blobs");
      }
    }
    return link_into_snapshot(blob(file), snapshot() / file.name);
  }

  Result<std::vector<std::string>> shards_of(const fs::path& index_path, const std::vector<std::string>& listing) const {
    ACC_TRY(const std::string text, read_file(index_path, limits::kConfigFileBytesMax));
    ACC_TRY(const Json index, parse_json(text, {.where = "hub"}));
    std::set<std::string> shards;
    if (index.is_object() && index.contains("weight_map") && index["weight_map"].is_object()) {
      for (const auto& [tensor, file] : index["weight_map"].items()) {
        if (file.is_string()) shards.insert(file.get<std::string>());
      }
    }
    if (shards.empty()) return Error{ErrorCode::kDataLoss, fmt::format("[hub] {} names files of weights in \"weight_map\"; got none in {}", kIndexFile, name_.repository)};
    for (const std::string& shard : shards) {
      if (std::find(listing.begin(), listing.end(), shard) == listing.end()) {
        return Error{ErrorCode::kDataLoss, fmt::format("[hub] the files that {} names are in the repository; got one that is not, in {}", kIndexFile, name_.repository)};
      }
    }
    return std::vector<std::string>(shards.begin(), shards.end());
  }

  const HubName& name_;
  const HubSettings& settings_;
  const fs::path folder_;
  std::string commit_;
  HubClient client_;
};

}  // namespace

Result<void> check_hub_space(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (bytes == 0 || error || space.available >= bytes + kPullSpareBytes) return {};
  return Error{ErrorCode::kResourceExhausted, fmt::format("[hub] a download of {:.0f} MB needs that much free in '{}'; got {:.0f} MB; try freeing space, or HF_HUB_CACHE=FOLDER elsewhere",
                                                          static_cast<double>(bytes + kPullSpareBytes) / 1e6, folder.string(), static_cast<double>(space.available) / 1e6)};
}

Result<void> link_into_snapshot(const fs::path& target, const fs::path& link) {
  ACC_TRY_VOID(make_folder(link.parent_path()));
  const fs::path relative = target.lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::is_symlink(link, error) && fs::read_symlink(link, error) == relative) return {};
  const fs::path fresh = link.parent_path() / fmt::format(".{}.{}", link.filename().string().substr(0, 100), random_id(""));
  fs::create_symlink(relative, fresh, error);
  if (error) return errno_error(error.value(), "hub", "link", fresh);
  fs::rename(fresh, link, error);
  if (!error) return {};
  const int cause = error.value();
  fs::remove(fresh, error);
  return errno_error(cause, "hub", "link", link);
}

Result<HubModel> pull_from_hub(const HubName& name, const HubSettings& settings, Progress& progress) {
  if (settings.offline) {
    Result<HubModel> here = find_in_hub_cache(name, settings);
    if (here || here.error().code != ErrorCode::kNotFound) return here;
    return Error{ErrorCode::kUnavailable, fmt::format("[hub] '{}' has to be fetched, and HF_HUB_OFFLINE forbids it; got nothing whole of it in '{}'; try without HF_HUB_OFFLINE", name.word(),
                                                      settings.cache.string())};
  }
  ACC_TRY_VOID(HubPull(name, settings, progress).run());
  return find_in_hub_cache(name, settings);
}

}  // namespace accelerate
