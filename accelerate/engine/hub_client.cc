#include "accelerate/engine/hub_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/sha256.h"
#include "accelerate/net/url.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kTellInterval{100};
constexpr std::chrono::milliseconds kRetryWaitMax{16'000};
constexpr size_t kListingBytesMax = size_t{32} << 20;
constexpr size_t kEtagMax = 128;
constexpr uint64_t kFileBytesMax = uint64_t{1} << 46;  // 64 TiB: beyond it a size is nonsense

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string plain_etag(std::string_view value) {
  if (value.starts_with("W/")) value.remove_prefix(2);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return std::string(value);
}

bool is_safe_etag(std::string_view etag) {
  return !etag.empty() && etag.size() <= kEtagMax && etag.front() != '.' && std::all_of(etag.begin(), etag.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
  });
}

std::optional<uint64_t> read_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// "bytes 100-199/200" -> 100, where the rest is as it must be.
std::optional<uint64_t> range_start(const std::string* header, uint64_t bytes) {
  if (header == nullptr || !header->starts_with("bytes ")) return std::nullopt;
  const std::string_view range = std::string_view(*header).substr(6);
  const size_t dash = range.find('-'), slash = range.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return std::nullopt;
  const auto end = read_number(range.substr(dash + 1, slash - dash - 1)), all = read_number(range.substr(slash + 1));
  if (!end || !all || *end + 1 != bytes || *all != bytes) return std::nullopt;
  return read_number(range.substr(0, dash));
}

bool worth_another_try(ErrorCode code) { return code == ErrorCode::kUnavailable || code == ErrorCode::kDataLoss || code == ErrorCode::kDeadlineExceeded; }
bool worth_another_try(int status) { return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504; }

/// A descriptor that is closed at the end.
class PartialFile {
 public:
  explicit PartialFile(const fs::path& path) : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) {}
  ~PartialFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  bool open() const { return fd_ >= 0; }
  Result<void> start_at(uint64_t offset) {
    if (::ftruncate(fd_, static_cast<off_t>(offset)) != 0 || ::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0) return errno_error(errno, "hub", "write", path_);
    return {};
  }
  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno_error(errno, "hub", "write", path_);
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return {};
  }
  Result<void> sync() {
    if (::fsync(fd_) != 0) return errno_error(errno, "hub", "write", path_);
    return {};
  }

 private:
  const fs::path& path_;
  int fd_;
};

uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

}  // namespace

HubClient::HubClient(const HubName& name, const HubSettings& settings, Progress& progress)
    : name_(name), settings_(settings), progress_(progress), what_("asking " + settings.endpoint), watcher_([this] { watch(); }) {}

HubClient::~HubClient() {
  over_ = true;
  watcher_.join();
}

void HubClient::watch() {
  while (!over_) {
    {
      const std::lock_guard lock(mutex_);
      if (!progress_.update(what_, total_ == 0 ? 0 : std::min(before_ + done_.load(), total_), total_, "bytes")) stop_ = true;
    }
    for (auto waited = std::chrono::milliseconds(0); waited < kTellInterval && !over_; waited += std::chrono::milliseconds(10)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

void HubClient::tell(std::string what, uint64_t before, uint64_t total) {
  const std::lock_guard lock(mutex_);
  what_ = std::move(what);
  before_ = before;
  total_ = total;
  done_ = 0;
  if (!progress_.update(what_, before_, total_, "bytes")) stop_ = true;
}

Error HubClient::cancelled() const { return {ErrorCode::kCancelled, "[hub] stopped; what came so far is kept for the next pull"}; }

bool HubClient::wait(int tries) {
  const auto until = std::chrono::steady_clock::now() + std::min(settings_.retry_wait * (1 << std::min(tries, 10)), kRetryWaitMax);
  while (!stop_ && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::min(std::chrono::milliseconds(20), settings_.retry_wait));
  return !stop_;
}

HttpCall HubClient::call(std::string method, std::string url) const {
  HttpCall call{.method = std::move(method), .url = std::move(url)};
  if (!settings_.token.empty()) call.headers.push_back({"Authorization", "Bearer " + settings_.token});  // dropped where a redirect leaves the hub
  call.stop = &stop_;
  return call;
}

Result<HttpResponse> HubClient::with_retries(const std::function<Result<HttpResponse>()>& ask) {
  for (int tries = 1;; ++tries) {
    Result<HttpResponse> response = ask();
    const bool again = response ? worth_another_try(response->status) : worth_another_try(response.error().code);
    if (stop_) return cancelled();
    if (!again || tries == kHubTriesMax) return response;
    if (!wait(tries - 1)) return cancelled();
  }
}

Error HubClient::refusal(const HttpResponse& response, std::string_view what) const {
  const std::string* code = response.header("x-error-code");
  const std::string page = fmt::format("{}/{}", settings_.endpoint, name_.repository);
  const std::string got = fmt::format("status {}{}", response.status, code != nullptr ? " (" + code->substr(0, 60) + ")" : "");
  const std::string_view token = settings_.token.empty() ? "no token is set" : "the token that is set is not enough";
  if (code != nullptr && *code == "GatedRepo") {
    return {ErrorCode::kPermissionDenied, fmt::format("[hub] {} is given to those who accepted its licence; got {}, and {}; try to accept it at {}, then set HF_TOKEN to a token "
                                                      "of that account ({}/settings/tokens)", name_.repository, got, token, page, settings_.endpoint)};
  }
  if (response.status == 401 || response.status == 403) {
    return {ErrorCode::kPermissionDenied, fmt::format("[hub] {} exists, and this account may read it; got {}, and {}; try the spelling; for a gated or private one accept its "
                                                      "licence at {} and set HF_TOKEN", name_.repository, got, token, page)};
  }
  if (response.status == 404) {
    const bool revision = code != nullptr && *code == "RevisionNotFound";
    return {ErrorCode::kNotFound, fmt::format("[hub] {} has {}; got {} from {}; try {}", name_.repository, revision ? "the revision '" + name_.revision + "'" : std::string(what), got,
                                              settings_.endpoint, page)};
  }
  return {ErrorCode::kUnavailable, fmt::format("[hub] {} answers for {}; got {}; try later", settings_.endpoint, what, got)};
}

Result<HubListing> HubClient::list() {
  HttpCall ask = call("GET", fmt::format("{}/api/models/{}/revision/{}", settings_.endpoint, name_.repository, percent_encode(name_.revision)));
  ask.limits.body_bytes_max = kListingBytesMax;
  ACC_TRY(const HttpResponse response, with_retries([&] { return http_.request(ask); }));
  if (response.status != 200) return refusal(response, "a listing");
  ACC_TRY(const Json answer, parse_json(response.body, {.where = "hub", .bytes_max = kListingBytesMax}));
  HubListing listing;
  if (answer.is_object() && answer.contains("sha") && answer["sha"].is_string()) listing.commit = answer["sha"].get<std::string>();
  if (!is_hex(listing.commit, 40) || !answer.contains("siblings") || !answer["siblings"].is_array()) {
    return Error{ErrorCode::kDataLoss, fmt::format("[hub] a listing has a commit as \"sha\" and files as \"siblings\"; got another answer from {}; try HF_ENDPOINT", settings_.endpoint)};
  }
  for (const Json& sibling : answer["siblings"]) {
    if (sibling.is_object() && sibling.contains("rfilename") && sibling["rfilename"].is_string()) listing.files.push_back(sibling["rfilename"].get<std::string>());
  }
  return listing;
}

Result<HubFile> HubClient::look_at(const std::string& commit, const std::string& file) {
  if (!is_safe_hub_file(file)) {
    return Error{ErrorCode::kDataLoss, fmt::format("[hub] files of a repository lie below it; got a name in {} that leads elsewhere; try another repository", name_.repository)};
  }
  HubFile found{.name = file, .url = fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, name_.repository, commit, percent_encode(file, "/"))};
  HttpCall ask = call("HEAD", found.url);
  ask.redirects = HttpCall::Redirects::kSameOrigin;  // the redirect to a storage says what the file is; the storage knows less
  ACC_TRY(const HttpResponse response, with_retries([&] { return http_.request(ask); }));
  const bool redirect = response.status >= 300 && response.status < 400;
  if (response.status != 200 && !redirect) return refusal(response, file);
  const std::string* etag = response.header("x-linked-etag");
  const std::string* size = response.header("x-linked-size");
  if (etag != nullptr && is_hex(plain_etag(*etag), 64)) found.sha256 = plain_etag(*etag);
  if (etag == nullptr) etag = response.header("etag");
  if (size == nullptr && !redirect) size = response.header("content-length");
  if (etag != nullptr) found.etag = plain_etag(*etag);
  const std::optional<uint64_t> bytes = size != nullptr ? read_number(*size) : std::nullopt;
  if (!is_safe_etag(found.etag) || !bytes || *bytes > kFileBytesMax) {
    return Error{ErrorCode::kDataLoss, fmt::format("[hub] a file has an ETag and a size; got neither or none usable for {} from {}; try HF_ENDPOINT", file, settings_.endpoint)};
  }
  found.bytes = *bytes;
  return found;
}

// True once all bytes are there; false where another try may bring more.
Result<bool> HubClient::fetch_once(const HubFile& file, const fs::path& partial) {
  PartialFile out(partial);
  if (!out.open()) return errno_error(errno, "hub", "create", partial);
  uint64_t have = size_of(partial);
  if (have > file.bytes) have = 0;
  done_ = have;
  HttpCall ask = call("GET", file.url);
  if (have == file.bytes) {
    ACC_TRY_VOID(out.sync());
    return true;
  }
  if (have > 0) {
    ask.headers.push_back({"Range", fmt::format("bytes={}-", have)});
    // A storage elsewhere has ETags of its own; what it sends is proven by its sha256 instead.
    if (file.sha256.empty()) ask.headers.push_back({"If-Range", "\"" + file.etag + "\""});
  }
  ask.limits.body_bytes_max = file.bytes;
  bool refused = false;
  const HttpReceiver receiver{
      .head = [&](const HttpResponse& head) -> Result<void> {
        refused = head.status != 200 && head.status != 206;
        if (refused) return {};
        const std::optional<uint64_t> start = head.status == 206 ? range_start(head.header("content-range"), file.bytes) : uint64_t{0};
        if (!start || *start > have) return Error{ErrorCode::kDataLoss, fmt::format("[hub] a range is the one asked for; got another of {}", file.name)};
        have = *start;
        done_ = have;
        return out.start_at(have);
      },
      .body = [&](std::string_view piece) -> Result<void> {
        if (refused) return {};
        if (have + piece.size() > file.bytes) return Error{ErrorCode::kDataLoss, fmt::format("[hub] {} has {} bytes; got more", file.name, file.bytes)};
        have += piece.size();
        done_ = have;
        return out.write(piece);
      }};
  const Result<HttpResponse> response = http_.request(ask, receiver);
  if (stop_) return cancelled();
  if (!response) {
    last_problem_ = response.error().message;
    return worth_another_try(response.error().code) ? Result<bool>(false) : Result<bool>(response.error());
  }
  last_problem_ = fmt::format("status {}", response->status);
  if (response->status == 416) {  // another file's beginning, as it seems: from the start then
    ACC_TRY_VOID(out.start_at(0));
    return false;
  }
  if (refused) return worth_another_try(response->status) ? Result<bool>(false) : Result<bool>(refusal(*response, file.name));
  if (have == file.bytes) ACC_TRY_VOID(out.sync());
  return have == file.bytes;
}

Result<void> HubClient::prove(const HubFile& file, const fs::path& partial) {
  if (file.sha256.empty()) return {};
  {
    const std::lock_guard lock(mutex_);
    what_ = "checking " + file.name;
  }
  ACC_TRY(const std::string found, sha256_file(partial, [&](uint64_t) { return !stop_.load(); }));
  if (found == file.sha256) return {};
  std::error_code ignored;
  fs::remove(partial, ignored);
  return Error{ErrorCode::kDataLoss, fmt::format("[hub] {} has the sha256 that the hub says, {}; got {}, and removed it; try again", file.name, file.sha256, found)};
}

Result<void> HubClient::fetch(const HubFile& file, const fs::path& partial) {
  int idle_tries = 0;
  uint64_t have_last = size_of(partial);
  for (int tries = 0; tries < kHubTriesOfFileMax; ++tries) {
    ACC_TRY(const bool whole, fetch_once(file, partial));
    if (whole) {
      if (Result<void> proven = prove(file, partial); !proven) return stop_ ? cancelled() : proven.error();
      return {};
    }
    const uint64_t have = size_of(partial);
    idle_tries = have > have_last ? 0 : idle_tries + 1;
    have_last = have;
    if (idle_tries >= kHubTriesMax) break;
    if (!wait(idle_tries)) return cancelled();
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[hub] {} comes from {}; got {} of {} bytes, then nothing in {} tries ({}); what came is kept; try again", file.name,
                                                    settings_.endpoint, size_of(partial), file.bytes, kHubTriesMax, last_problem_)};
}

}  // namespace accelerate
