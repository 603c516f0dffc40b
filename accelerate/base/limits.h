// Limits shared by several rooms, each with its reason. A room's own limits live in its headers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate::limits {

inline constexpr size_t kRequestBytesMax = size_t{32} << 20;      // an HTTP body: a long context as text is under 1 MiB
inline constexpr size_t kConfigFileBytesMax = size_t{16} << 20;   // config.json, our own TOML
inline constexpr size_t kTokenizerFileBytesMax = size_t{256} << 20;  // the largest known tokenizer.json is under 40 MiB
inline constexpr uint32_t kQueuedRequestsMax = 1024;              // waiting per endpoint; the next gets resource_exhausted
inline constexpr uint32_t kSlotsMax = 256;                        // live sequences per decoder
inline constexpr uint32_t kConnectionsMax = 4096;                 // open sockets; an idle one costs 13 KiB, measured
inline constexpr uint32_t kEmbeddingInputsMax = 2048;             // texts of one request, as the OpenAI API has it

}  // namespace accelerate::limits
