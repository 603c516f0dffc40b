/* The C edge of the text room's Rust library (src/lib.rs): tokenizers, chat templates, grammars; llguidance brings
 * llguidance.h, of which only the making of its tokenizer is used.
 *
 * Values and error texts arrive in a sink while the call runs and die when it returns; only the handles are owned by the
 * caller. Handles are immutable and thread-safe, but for text_matcher, which follows one answer on one thread at a time.
 * No call throws, and no panic of the library crosses the edge. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum text_status {
  TEXT_OK = 0,
  TEXT_FAILED = 1,            /* the input is wrong; the text says how */
  TEXT_OUT_OF_FUEL = 2,
  TEXT_DEADLINE_EXCEEDED = 3,
  TEXT_OUT_OF_MEMORY = 4,
  TEXT_PANICKED = 5,          /* a defect of the library */
  TEXT_RAISED = 6,            /* the template called raise_exception; the text is its message */
  TEXT_BUSY = 7               /* too many grammars are being compiled */
};

/* How ids become text. */
enum text_token_kind {
  TEXT_KIND_TEXT = 0,              /* only text_tokenizer_decode knows (WordPiece) */
  TEXT_KIND_BYTE_LEVEL = 1,        /* concatenated token bytes are the text */
  TEXT_KIND_ESCAPED = 2,           /* the same, with U+2581 and <0xNN> already resolved in the bytes */
  TEXT_KIND_ESCAPED_STRIPPED = 3   /* the same, and one space at the start of the text goes */
};

enum { TEXT_ENCODE_ADD_SPECIAL = 1, TEXT_ENCODE_PARSE_SPECIAL = 2 };
enum { TEXT_DECODE_SKIP_SPECIAL = 1 };
enum { TEXT_TOKEN_CONTROL = 1, TEXT_TOKEN_ADDED = 2 };

/* Gets the value (status TEXT_OK) or the error text. Must not throw. */
typedef void (*text_sink)(void* user, int32_t status, const uint8_t* data, size_t size);
typedef void (*text_token_sink)(void* user, uint32_t id, uint32_t flags, const uint8_t* data, size_t size);

typedef struct text_tokenizer text_tokenizer;
typedef struct text_template text_template;

/* `json`: the bytes of a tokenizer.json. Null after an error went to the sink. */
text_tokenizer* text_tokenizer_new(const uint8_t* json, size_t size, text_sink sink, void* user);
void text_tokenizer_free(text_tokenizer* handle);
/* UTF-8 text -> ids as native uint32_t. */
int32_t text_tokenizer_encode(const text_tokenizer* handle, const uint8_t* data, size_t size, uint32_t flags,
                              text_sink sink, void* user);
typedef struct text_bytes {
  const uint8_t* data;
  size_t size;
} text_bytes;
/* Two texts through the pair template, the second cut to `second_max` tokens -> uint32_t values: where the second one's
 * token type begins, how many tokens it had before it was cut, then the ids. */
int32_t text_tokenizer_encode_pair(const text_tokenizer* handle, text_bytes first, text_bytes second, uint32_t second_max,
                                   uint32_t flags, text_sink sink, void* user);
int32_t text_tokenizer_decode(const text_tokenizer* handle, const uint32_t* ids, size_t count, uint32_t flags,
                              text_sink sink, void* user);
enum { TEXT_KIND_NONE = 0xffffffffu }; /* no text_token_kind: a defect of the library */
/* Visits each existing id in ascending order with the bytes it stands for; answers the text_token_kind, or TEXT_KIND_NONE
 * when it panicked on the way and ids are missing. */
uint32_t text_tokenizer_tokens(const text_tokenizer* handle, text_token_sink sink, void* user);
/* Id of a token by its stored text, UINT32_MAX when there is none. */
uint32_t text_tokenizer_find(const text_tokenizer* handle, const uint8_t* data, size_t size);

typedef struct text_render_limits {
  uint64_t fuel;         /* template instructions */
  uint64_t memory_bytes; /* held by one rendering */
  uint64_t deadline_ms;  /* wall time */
  int64_t now_s;         /* Unix time for strftime_now; INT64_MIN = the clock */
} text_render_limits;

text_template* text_template_new(const uint8_t* source, size_t size, text_sink sink, void* user);
void text_template_free(text_template* handle);
/* `context`: a JSON object, the template's variables. */
int32_t text_template_render(const text_template* handle, const uint8_t* context, size_t size,
                             const text_render_limits* limits, text_sink sink, void* user);

enum text_grammar_kind { TEXT_GRAMMAR_SCHEMA = 0, TEXT_GRAMMAR_LARK = 1, TEXT_GRAMMAR_REGEX = 2 };

typedef struct text_grammar_limits {
  uint64_t memory_bytes; /* held by one compilation */
  uint64_t deadline_ms;  /* wall time the caller waits */
} text_grammar_limits;

typedef struct text_grammar text_grammar;
typedef struct text_matcher text_matcher;
struct LlgTokenizer;

text_grammar* text_grammar_new(const struct LlgTokenizer* tokenizer, uint32_t kind, const uint8_t* text, size_t size,
                               const text_grammar_limits* limits, text_sink sink, void* user);
void text_grammar_free(text_grammar* handle);
/* At the start of the grammar, which it may outlive. */
text_matcher* text_matcher_new(const text_grammar* grammar, text_sink sink, void* user);
void text_matcher_free(text_matcher* handle);
/* Bit i % 32 of words[i / 32]: whether token i may come next; never none. */
int32_t text_matcher_mask(text_matcher* handle, uint32_t* words, size_t count, text_sink sink, void* user);
int32_t text_matcher_accept(text_matcher* handle, uint32_t token, text_sink sink, void* user);
enum { TEXT_MATCHER_MAY_END = 1, TEXT_MATCHER_MUST_END = 2 };
uint32_t text_matcher_state(text_matcher* handle);

#ifdef __cplusplus
}
#endif
