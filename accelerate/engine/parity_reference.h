// ParityReference - what the probe gives on the model's own weights in float32 arithmetic: computed once, kept in a file.
//
//   ReferenceStore store({});                                            // cache_dir()/parity
//   std::optional<ParityReference> known = store.load(model_id);
//   if (!known) { ACC_TRY(ParityReference made, compute_reference(program, *model, control)); store.save(model_id, made); }
//
// A file is whole or absent (written beside and renamed), ends in the sha256 of what stands before, and is read only if all
// sizes agree; anything else is computed again. The folder holds at most kReferenceFolderBytesMax, the least recently used go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/core/program.h"
#include "accelerate/engine/parity_probe.h"

namespace accelerate {

inline constexpr uint64_t kReferenceBytesMax = uint64_t{256} << 20;        // one model; gemma3's 262,144 columns take 67 MB
inline constexpr uint64_t kReferenceFolderBytesMax = uint64_t{1} << 30;

/// The compared rows of one kind of output, by (sequence, position).
struct ParityBlock {
  std::string output;                  // "logits", "pooled", "hidden", "head"
  uint32_t columns = 0;
  std::vector<uint32_t> places;        // sequence << 16 | position, ascending
  std::vector<float> rows;             // places x columns
  /// Empty where the reference has no such row.
  std::span<const float> row(size_t sequence, size_t position) const;
};
struct ParityReference {
  ParityProbe probe;
  std::vector<ParityBlock> blocks;
};

/// Runs the probe on `program`, which is to be exact. unimplemented for text and tensor programs; resource_exhausted where
/// the rows take more than kReferenceBytesMax.
Result<ParityReference> compute_reference(Program& program, const Model& model, const StepControl& control);

/// The outputs of an encoder that are compared: pooled and hidden, or head.
std::vector<EncodeOutput> compared_outputs(const EncoderProgram& program);
std::string_view output_name(EncodeOutput output);

class ReferenceStore {
 public:
  /// Empty = cache_dir()/parity.
  explicit ReferenceStore(std::filesystem::path folder);
  std::optional<ParityReference> load(const std::string& model_id) const;
  /// Says in the log why a file can not be written.
  void save(const std::string& model_id, const ParityReference& reference) const;
  std::filesystem::path path_of(const std::string& model_id) const;

 private:
  void make_room(uint64_t bytes) const;
  std::filesystem::path folder_;
};

}  // namespace accelerate
