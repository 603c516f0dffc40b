// base64 (RFC 4648 section 4, padded), as OpenAI's embeddings use it.
//
//   base64_encode("foob") == "Zm9vYg=="
#pragma once

#include <string>
#include <string_view>

namespace accelerate {

std::string base64_encode(std::string_view bytes);

}  // namespace accelerate
