// Any bytes as an HTTP response: taken or refused, and the same whole as in pieces.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "accelerate/net/http_parser.h"

namespace {

struct Parsed {
  bool fault = false, done = false;
  int status = 0;
  std::string body;
};

Parsed parse(std::string_view bytes, size_t piece, bool of_head) {
  accelerate::HttpResponseParser parser({.header_bytes_max = 4096, .body_bytes_max = 0}, {.of_head = of_head});
  Parsed parsed;
  std::string held;
  while (!bytes.empty() && !parser.fault() && !parser.done()) {
    held += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    held.erase(0, parser.feed(held));
    if (!parser.fault()) parsed.body += parser.take_body();
  }
  if (!parser.fault() && !parser.done()) {
    parser.end();
    if (!parser.fault()) parsed.body += parser.take_body();
  }
  parsed.fault = parser.fault().has_value();
  parsed.done = parser.done();
  if (!parsed.fault && parser.header_done()) {
    parsed.status = parser.status();
    (void)parser.headers();
    (void)parser.body_bytes_announced();
  }
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool of_head = (data[0] & 1) != 0;
  const Parsed whole = parse(bytes, SIZE_MAX, of_head);
  const Parsed pieces = parse(bytes, 1 + (data[0] >> 1) % 7, of_head);
  // A response that is refused may be refused earlier in pieces; one that is taken is the same.
  if (!whole.fault && !pieces.fault && (whole.status != pieces.status || whole.body != pieces.body || whole.done != pieces.done)) std::abort();
  if (whole.fault != pieces.fault && !whole.fault) std::abort();
  return 0;
}
