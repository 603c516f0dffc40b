// HubClient - the routes of a Hugging Face hub: what a repository holds, what a file is, and its bytes, resumed where they
// broke off.
//
//   HubClient client(name, settings, progress);
//   ACC_TRY(HubListing listing, client.list());
//   ACC_TRY(HubFile file, client.look_at(listing.commit, "model.gguf"));
//   ACC_TRY_VOID(client.fetch(file, blobs / (file.etag + ".incomplete")));
//
// GET {endpoint}/api/models/{repository}/revision/{revision} lists; HEAD {endpoint}/{repository}/resolve/{commit}/{file}
// gives ETag and size (X-Linked-ETag and X-Linked-Size of files in large-file storage, whose ETag is their sha256); GET of
// the same, its bytes. Progress is told every 100 ms on a thread of the client's own, and its stop obeyed as fast.
// Not thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "accelerate/engine/hub.h"
#include "accelerate/net/http_client.h"

namespace accelerate {

inline constexpr int kHubTriesMax = 5;          // in a row in which nothing came
inline constexpr int kHubTriesOfFileMax = 500;  // of one file in all

struct HubListing {
  std::string commit;              // 40 hexadecimal digits
  std::vector<std::string> files;  // as the hub says them: not yet safe as paths
};
struct HubFile {
  std::string name, url;  // url: pinned to the commit
  std::string etag;       // safe as a file's name
  uint64_t bytes = 0;
  std::string sha256;     // empty where the hub gives none
};

class HubClient {
 public:
  HubClient(const HubName& name, const HubSettings& settings, Progress& progress);
  ~HubClient();
  HubClient(const HubClient&) = delete;
  HubClient& operator=(const HubClient&) = delete;

  Result<HubListing> list();
  Result<HubFile> look_at(const std::string& commit, const std::string& file);
  /// Completes `partial`, which may hold the beginning already, and proves size and sha256. data_loss removes it; every other
  /// error keeps what came. The file is on the disk then.
  Result<void> fetch(const HubFile& file, const std::filesystem::path& partial);

  /// What progress is told: bytes of `total` that are here before the file that is fetched now.
  void tell(std::string what, uint64_t before, uint64_t total);
  bool stopped() const { return stop_.load(); }
  Error cancelled() const;

 private:
  HttpCall call(std::string method, std::string url) const;
  /// Runs `ask` until it answers other than "try again"; waits longer each time.
  Result<HttpResponse> with_retries(const std::function<Result<HttpResponse>()>& ask);
  Result<bool> fetch_once(const HubFile& file, const std::filesystem::path& partial);
  Result<void> prove(const HubFile& file, const std::filesystem::path& partial);
  Error refusal(const HttpResponse& response, std::string_view what) const;
  bool wait(int tries);
  void watch();

  const HubName name_;
  const HubSettings settings_;
  Progress& progress_;
  HttpClient http_;
  std::atomic<bool> stop_{false}, over_{false};
  std::atomic<uint64_t> done_{0};
  std::string last_problem_;
  std::mutex mutex_;
  std::string what_;       // guarded by mutex_, as the next two
  uint64_t before_ = 0, total_ = 0;
  std::thread watcher_;
};

}  // namespace accelerate
