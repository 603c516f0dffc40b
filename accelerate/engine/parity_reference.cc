#include "accelerate/engine/parity_reference.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"
#include "accelerate/base/sha256.h"
#include "accelerate/core/graph.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "ACCPARITY1\n";
constexpr size_t kShaBytes = 64;            // in hex
constexpr uint32_t kSequencesMax = 64, kSequenceTokensMax = 4096, kBlocksMax = 8, kNameBytesMax = 64;

class Writer {
 public:
  void number(uint32_t value) { bytes(&value, sizeof value); }
  void bytes(const void* data, size_t size) { text_.append(static_cast<const char*>(data), size); }
  template <class T> void all(const std::vector<T>& values) { bytes(values.data(), values.size() * sizeof(T)); }
  std::string text_;
};

// Reads what was written; anything that does not fit makes ok() false and everything after it empty.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }
  uint32_t number(uint32_t most) {
    uint32_t value = 0;
    take(&value, sizeof value);
    if (value > most) ok_ = false;
    return ok_ ? value : 0;
  }
  template <class T> std::vector<T> all(uint64_t count) {
    if (!ok_ || count > rest_.size() / sizeof(T)) {
      ok_ = false;
      return {};
    }
    std::vector<T> values(count);
    take(values.data(), count * sizeof(T));
    return values;
  }

 private:
  void take(void* into, size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return;
    }
    if (size != 0) std::memcpy(into, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  std::string_view rest_;
  bool ok_ = true;
};

std::string serialize(const ParityReference& reference) {
  Writer out;
  out.bytes(kMagic.data(), kMagic.size());
  out.number(kParityProbeVersion);
  out.number(static_cast<uint32_t>(reference.probe.sequences.size()));
  for (const std::vector<uint32_t>& tokens : reference.probe.sequences) {
    out.number(static_cast<uint32_t>(tokens.size()));
    out.all(tokens);
  }
  out.number(static_cast<uint32_t>(reference.blocks.size()));
  for (const ParityBlock& block : reference.blocks) {
    out.number(static_cast<uint32_t>(block.output.size()));
    out.bytes(block.output.data(), block.output.size());
    out.number(block.columns);
    out.number(static_cast<uint32_t>(block.places.size()));
    out.all(block.places);
    out.all(block.rows);
  }
  const std::string sha = sha256_hex(out.text_);
  out.bytes(sha.data(), sha.size());
  return std::move(out.text_);
}

std::optional<ParityReference> parse(std::string_view text) {
  if (text.size() < kMagic.size() + kShaBytes || !text.starts_with(kMagic)) return {};
  const std::string_view body = text.substr(0, text.size() - kShaBytes);
  if (sha256_hex(body) != text.substr(body.size())) return {};
  Reader in(body.substr(kMagic.size()));
  if (in.number(UINT32_MAX) != kParityProbeVersion) return {};
  ParityReference reference;
  reference.probe.sequences.resize(in.number(kSequencesMax));
  for (std::vector<uint32_t>& tokens : reference.probe.sequences) tokens = in.all<uint32_t>(in.number(kSequenceTokensMax));
  reference.blocks.resize(in.number(kBlocksMax));
  for (ParityBlock& block : reference.blocks) {
    const std::vector<char> name = in.all<char>(in.number(kNameBytesMax));
    block.output.assign(name.begin(), name.end());
    block.columns = in.number(UINT32_MAX);
    block.places = in.all<uint32_t>(in.number(UINT32_MAX));
    block.rows = in.all<float>(uint64_t{block.columns} * block.places.size());
  }
  if (!in.at_end()) return {};
  return reference;
}

// Rows in the order in which they come, sorted by place at the end.
class BlockMaker {
 public:
  explicit BlockMaker(std::string output) { block_.output = std::move(output); }
  void add(size_t sequence, size_t position, std::span<const float> values) {
    if (full_) return;
    block_.columns = static_cast<uint32_t>(values.size());
    full_ = (block_.rows.size() + values.size()) * sizeof(float) > kReferenceBytesMax;
    if (full_) return;
    block_.places.push_back(static_cast<uint32_t>(sequence << 16 | position));
    block_.rows.insert(block_.rows.end(), values.begin(), values.end());
  }
  Result<ParityBlock> done() {
    if (full_) return Error{ErrorCode::kResourceExhausted, fmt::format("[parity] the reference's rows take at most {} bytes; got more", kReferenceBytesMax)};
    CHECK(std::is_sorted(block_.places.begin(), block_.places.end()), "rows come in order");
    return std::move(block_);
  }

 private:
  ParityBlock block_;
  bool full_ = false;
};

ProbeSource source_of(const Model& model, const Tokenizer* tokenizer) {
  uint32_t vocabulary = model.graph ? model.graph->vocabulary : 0;
  if (vocabulary == 0) vocabulary = model.config.vocabulary;
  if (vocabulary == 0 && tokenizer) vocabulary = tokenizer->size();
  uint32_t context = model.graph ? model.graph->context : 0;
  return {.vocabulary = vocabulary, .context = context != 0 ? context : kSequenceTokensMax, .tokenizer = tokenizer};
}

}  // namespace

std::span<const float> ParityBlock::row(size_t sequence, size_t position) const {
  const auto place = static_cast<uint32_t>(sequence << 16 | position);
  const auto found = std::lower_bound(places.begin(), places.end(), place);
  if (found == places.end() || *found != place) return {};
  return std::span(rows).subspan(static_cast<size_t>(found - places.begin()) * columns, columns);
}

std::vector<EncodeOutput> compared_outputs(const EncoderProgram& program) {
  std::vector<EncodeOutput> outputs;
  if (program.limits().width != 0) outputs = {EncodeOutput::kPooled, EncodeOutput::kHidden};
  if (program.limits().labels != 0) outputs.push_back(EncodeOutput::kHead);
  return outputs;
}

std::string_view output_name(EncodeOutput output) {
  switch (output) {
    case EncodeOutput::kPooled: return "pooled";
    case EncodeOutput::kHidden: return "hidden";
    case EncodeOutput::kHead: return "head";
  }
  return "";
}

Result<ParityReference> compute_reference(Program& program, const Model& model, const StepControl& control) {
  // A model without a tokenizer is compared on drawn tokens alone.
  std::shared_ptr<const Tokenizer> tokenizer;
  if (model.tokenizer) {
    if (Result<std::shared_ptr<const Tokenizer>> made = Tokenizer::create(*model.tokenizer)) tokenizer = *made;
    else log_warning("parity: drawn tokens stand in for text: " + made.error().message);
  }
  const ProbeSource source = source_of(model, tokenizer.get());
  if (source.vocabulary == 0) return Error{ErrorCode::kUnimplemented, "[parity] tokens are drawn from a vocabulary; got a model without one"};
  ParityReference reference;
  if (auto* decoder = dynamic_cast<DecoderProgram*>(&program)) {
    reference.probe = make_decoder_probe(source);
    BlockMaker maker("logits");
    std::vector<std::string> notes;
    ACC_TRY_VOID(run_decoder_probe(*decoder, reference.probe, ParityRun::kReference,
                                   [&](std::string_view, size_t sequence, size_t position, std::span<const float> row) { maker.add(sequence, position, row); },
                                   notes, control));
    for (const std::string& note : notes) log_info("parity reference: " + note);
    ACC_TRY(ParityBlock block, maker.done());
    reference.blocks.push_back(std::move(block));
    return reference;
  }
  auto* encoder = dynamic_cast<EncoderProgram*>(&program);
  if (!encoder) return Error{ErrorCode::kUnimplemented, "[parity] decoders and encoders are compared; got a program of another kind"};
  reference.probe = make_encoder_probe(source);
  for (const EncodeOutput output : compared_outputs(*encoder)) {
    BlockMaker maker{std::string(output_name(output))};
    ACC_TRY_VOID(run_encoder_probe(*encoder, reference.probe, output, ParityRun::kReference,
                                   [&](std::string_view, size_t sequence, size_t position, std::span<const float> row) { maker.add(sequence, position, row); },
                                   control));
    ACC_TRY(ParityBlock block, maker.done());
    reference.blocks.push_back(std::move(block));
  }
  return reference;
}

ReferenceStore::ReferenceStore(fs::path folder) : folder_(folder.empty() ? cache_dir() / "parity" : std::move(folder)) {}

fs::path ReferenceStore::path_of(const std::string& model_id) const { return folder_ / fmt::format("{}-v{}.reference", model_id, kParityProbeVersion); }

std::optional<ParityReference> ReferenceStore::load(const std::string& model_id) const {
  const fs::path path = path_of(model_id);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  const Result<std::string> text = read_file(path, kReferenceBytesMax + (uint64_t{1} << 20));
  std::optional<ParityReference> reference = text ? parse(*text) : std::nullopt;
  if (!reference) {
    log_warning(fmt::format("the parity reference '{}' is computed again: {}", path.string(), text ? "broken or of another version" : text.error().message));
    fs::remove(path, ignored);
    return {};
  }
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);  // used now: the last to go
  return reference;
}

void ReferenceStore::save(const std::string& model_id, const ParityReference& reference) const {
  const std::string text = serialize(reference);
  make_room(text.size());
  if (const Result<void> written = write_file_atomically(path_of(model_id), text); !written) {
    log_warning(fmt::format("the parity reference is not kept: {}", written.error().message));
  }
}

void ReferenceStore::make_room(uint64_t bytes) const {
  struct Kept { fs::file_time_type used; uint64_t size; fs::path path; };
  std::vector<Kept> files;
  uint64_t total = bytes;
  std::error_code failed;
  for (auto it = fs::directory_iterator(folder_, failed); !failed && it != fs::directory_iterator(); it.increment(failed)) {
    std::error_code gone;
    const Kept kept{it->last_write_time(gone), it->file_size(gone), it->path()};
    if (gone || kept.path.extension() != ".reference") continue;
    total += kept.size;
    files.push_back(kept);
  }
  std::sort(files.begin(), files.end(), [](const Kept& a, const Kept& b) { return a.used < b.used; });
  for (const Kept& file : files) {
    if (total <= kReferenceFolderBytesMax) return;
    std::error_code ignored;
    if (fs::remove(file.path, ignored)) total -= file.size;
  }
}

}  // namespace accelerate
