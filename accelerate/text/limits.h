// Limits of the text room, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate::limits {

inline constexpr size_t kTextBytesMax = size_t{64} << 20;          // one text to encode: twice the largest HTTP body
inline constexpr size_t kEncoderTextBytesMax = size_t{1} << 20;    // a text whose tokens have no most bytes (WordPiece): 8192 tokens are 40 KB
inline constexpr uint32_t kVocabularyTokensMax = 1u << 22;         // the largest known vocabulary has 262,144 tokens
inline constexpr size_t kTokenBytesMax = 1024;                     // Gemma's longest is 48; merging looks at most this far
inline constexpr size_t kStopStringBytesMax = 1024;                // of one stop string; the matcher holds back that much
inline constexpr size_t kChatTemplateBytesMax = size_t{1} << 20;   // the largest known template is about 30 KB
inline constexpr size_t kChatContextBytesMax = size_t{64} << 20;   // messages and tools of one rendering, as JSON
inline constexpr uint64_t kRenderStepsMax = 20'000'000;            // a message costs about 200: 100,000 of them
inline constexpr uint64_t kRenderMs = 5'000;                       // wall time; a long chat takes under 20 ms
inline constexpr size_t kRenderMemoryBytes = size_t{64} << 20;     // besides 24 bytes for each byte of the context
inline constexpr size_t kGrammarBytesMax = size_t{1} << 20;        // a schema of 5,000 properties has about 0.3 MB
inline constexpr uint64_t kGrammarMs = 5'000;                      // wall time of compiling; common schemas take under 10 ms
inline constexpr size_t kGrammarMemoryBytes = size_t{256} << 20;   // of compiling

}  // namespace accelerate::limits
