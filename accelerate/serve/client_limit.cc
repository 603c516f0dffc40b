#include "accelerate/serve/client_limit.h"

namespace accelerate {

ClientLimit::Permit ClientLimit::admit(const std::string& client) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(client);
  const uint32_t running = found == running_.end() ? 0 : found->second;
  if (requests_max_ > 0 && running >= requests_max_) return {};
  running_[client] = running + 1;
  return Permit(*this, client);
}

void ClientLimit::leave(const std::string& client) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(client);
  if (--found->second == 0) running_.erase(found);
}

}  // namespace accelerate
