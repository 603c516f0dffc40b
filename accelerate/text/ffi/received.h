// What a call into the Rust library hands back through its callback: a status, and bytes that are copied here.
//
//   Received out;
//   text_template_render(handle, bytes_of(json), json.size(), receive, &out);
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "accelerate/text/ffi/text_ffi.h"

namespace accelerate {

struct Received {
  int32_t status = TEXT_OK;
  std::string bytes;
};

inline void receive(void* user, int32_t status, const uint8_t* data, size_t size) {
  auto& received = *static_cast<Received*>(user);
  received.status = status;
  received.bytes.assign(reinterpret_cast<const char*>(data), size);
}

inline const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace accelerate
