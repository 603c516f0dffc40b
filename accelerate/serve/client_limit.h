// ClientLimit - how many requests of one client are under way at a time.
//
//   ClientLimit limit(512);
//   const ClientLimit::Permit permit = limit.admit("key-1a2b3c4d");
//   if (!permit) return refuse(429);           // else counted until the permit goes
//
// Thread-safe; must outlive its permits.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace accelerate {

class ClientLimit {
 public:
  /// 0 = no limit.
  explicit ClientLimit(uint32_t requests_max) : requests_max_(requests_max) {}

  class Permit {
   public:
    Permit() = default;  // refused
    Permit(ClientLimit& limit, std::string client) : limit_(&limit), client_(std::move(client)) {}
    Permit(Permit&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)), client_(std::move(other.client_)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (limit_ != nullptr) limit_->leave(client_);
    }
    explicit operator bool() const { return limit_ != nullptr; }

   private:
    ClientLimit* limit_ = nullptr;
    std::string client_;
  };
  [[nodiscard]] Permit admit(const std::string& client);
  uint32_t requests_max() const { return requests_max_; }

 private:
  void leave(const std::string& client);
  const uint32_t requests_max_;
  std::mutex mutex_;
  std::map<std::string, uint32_t> running_;  // only clients with requests under way: it can not grow beyond connections
};

}  // namespace accelerate
