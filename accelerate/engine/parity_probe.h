// ParityProbe - the fixed input of the parity gate and the ways it is put through a program.
//
//   ParityProbe probe = make_decoder_probe({.vocabulary = v, .context = c, .tokenizer = tokenizer});
//   ACC_TRY_VOID(run_decoder_probe(program, probe, ParityRun::kCandidate, on_row, notes, control));
//
// 256 tokens in all. Decoders: one chunk of 128; 64 in uneven chunks; 24 token by token; 2 x 20 in two interleaved slots.
// Encoders: five texts. Tokens are drawn deterministically from the vocabulary, and where there is a tokenizer three of the
// sequences are a committed text of our own. Every kParityRowStride-th row is compared, the last of each sequence among them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

class Tokenizer;

inline constexpr uint32_t kParityProbeVersion = 1;  // changes whenever tokens or compared rows do
inline constexpr uint32_t kParityRowStride = 4;     // 64 rows: of gemma3's 262,144 columns 67 MB

/// The committed text that three of the sequences are cut from: about 300 tokens of prose, numbers, code and other scripts.
std::string_view parity_text();

struct ParityProbe {
  std::vector<std::vector<uint32_t>> sequences;
};
struct ProbeSource {
  uint32_t vocabulary = 0;              // at least 1
  uint32_t context = 0;                 // tokens of one sequence at most
  const Tokenizer* tokenizer = nullptr; // may be null
};
ParityProbe make_decoder_probe(const ProbeSource& source);
ParityProbe make_encoder_probe(const ProbeSource& source);

/// Whether the row behind `position` of a sequence of `tokens` tokens is compared.
bool is_compared(size_t position, size_t tokens);

enum class ParityRun : uint8_t {
  kReference,  // each sequence alone in as few chunks as the program takes
  kCandidate,  // each in its own way, see above
};
/// `way` = "one chunk", "uneven chunks" ...; `values` are valid during the call.
using OnProbeRow = std::function<void(std::string_view way, size_t sequence, size_t position, std::span<const float> values)>;

/// Gives every compared row. Sequences are cut to the program's context; what it has no slots or KV for is left out and
/// said in `notes`. Slots are closed again, whatever happens.
Result<void> run_decoder_probe(DecoderProgram& program, const ParityProbe& probe, ParityRun run, const OnProbeRow& on_row,
                               std::vector<std::string>& notes, const StepControl& control);

/// `output`: one of those the program's limits name. Candidate: all in one call, then in reverse order, then one by one.
/// kHidden gives a row a token, the others one a sequence at position 0.
Result<void> run_encoder_probe(EncoderProgram& program, const ParityProbe& probe, EncodeOutput output, ParityRun run,
                               const OnProbeRow& on_row, const StepControl& control);

}  // namespace accelerate
