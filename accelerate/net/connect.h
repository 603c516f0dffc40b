// connect_tcp - a connection to a host by name or address, within a deadline, whatever the name server does.
//
//   ACC_TRY(Socket socket, connect_tcp("hub.example", 443, {.deadline = deadline_in(std::chrono::seconds(10))}));
//
// All addresses of the name are tried in the resolver's order; while others are left, one gets an equal share of the time
// left. Thread-safe. Errors name host, port and cause: unavailable (no such name, refused, no route), deadline_exceeded,
// cancelled; resource_exhausted when kLookupsMax lookups hang already.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "accelerate/base/result.h"
#include "accelerate/net/socket.h"

namespace accelerate {

inline constexpr int kLookupsMax = 32;  // getaddrinfo() can not be stopped: each that is waited for no longer is a thread

struct ConnectLimits {
  NetDeadline deadline;
  const std::atomic<bool>* stop = nullptr;  // not owned; checked every 50 ms; the socket obeys it from then on
};
Result<Socket> connect_tcp(const std::string& host, uint16_t port, const ConnectLimits& limits);

}  // namespace accelerate
