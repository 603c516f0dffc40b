#include "tests/conformance/goldens.h"

#include <cstring>
#include <stdexcept>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"

namespace accelerate::conformance {
namespace {

constexpr size_t kGoldenBytesMax = size_t{64} << 20;

std::string read_text(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path, kGoldenBytesMax);
  if (!text) throw std::runtime_error(to_string(text.error()));
  return *std::move(text);
}

Json read_json(const std::filesystem::path& path) {
  Result<Json> json = parse_json(read_text(path), {.where = "goldens", .bytes_max = kGoldenBytesMax});
  if (!json) throw std::runtime_error(to_string(json.error()));
  return *std::move(json);
}

std::vector<float> read_floats(const std::filesystem::path& path, size_t count) {
  const std::string bytes = read_text(path);
  if (bytes.size() != count * sizeof(float)) throw std::runtime_error(path.string() + " has another size than its shape");
  std::vector<float> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Takes little-endian values off the front of a byte string.
class Bytes {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
  template <class T> T take() {
    std::vector<T> one = take<T>(1);
    return one[0];
  }
  template <class T> std::vector<T> take(size_t count) {
    if (count > (bytes_.size() - at_) / sizeof(T)) throw std::runtime_error("a golden file ends early");
    std::vector<T> values(count);
    std::memcpy(values.data(), bytes_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
    return values;
  }
  bool empty() const { return at_ == bytes_.size(); }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

}  // namespace

std::filesystem::path data_folder() { return ACC_TEST_DATA; }

std::vector<DecoderGolden> decoder_goldens() {
  const std::filesystem::path folder = data_folder() / "fixtures";
  const Json json = read_json(folder / "goldens.json");
  std::vector<DecoderGolden> goldens;
  for (const Json& one : json.at("models")) {
    DecoderGolden golden{.model = one.at("model"), .family = one.at("family"), .tokens = one.at("tokens"),
                         .vocabulary = one.at("shape").at(1), .logits = {}};
    golden.logits = read_floats(folder / one.at("logits").get<std::string>(), golden.tokens.size() * golden.vocabulary);
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

std::vector<EncoderGolden> encoder_goldens() {
  const std::filesystem::path folder = data_folder() / "fixtures";
  const Json json = read_json(folder / "goldens.json");
  std::vector<EncoderGolden> goldens;
  for (const Json& model : json.at("encoders")) {
    for (const Json& one : model.at("sequences")) {
      EncoderGolden golden{.model = model.at("model"), .tokens = one.at("tokens"), .width = one.at("shape").at(1), .hidden = {}, .mean = {},
                           .mean_normalized = {}};
      const auto floats = [&](const char* name, size_t count) { return read_floats(folder / one.at(name).get<std::string>(), count); };
      golden.hidden = floats("last_hidden_state", golden.tokens.size() * golden.width);
      golden.mean = floats("mean_pooled", golden.width);
      golden.mean_normalized = floats("mean_pooled_normalized", golden.width);
      goldens.push_back(std::move(golden));
    }
  }
  return goldens;
}

std::vector<CrossEncoderGolden> cross_encoder_goldens() {
  const Json json = read_json(data_folder() / "fixtures" / "goldens.json");
  std::vector<CrossEncoderGolden> goldens;
  for (const Json& model : json.at("cross_encoders")) {
    for (const Json& one : model.at("pairs")) {
      goldens.push_back({.model = model.at("model"), .query = one.at("query"), .document = one.at("document"), .tokens = one.at("tokens"),
                         .second_begin = one.at("second_begin"), .logit = one.at("logit")});
    }
  }
  return goldens;
}

TopkGolden topk_golden(const std::string& model) {
  Bytes bytes(read_text(data_folder() / "logits" / (model + ".topk")));
  if (bytes.take<uint32_t>() != 0x4B504F54 || bytes.take<uint32_t>() != 1) throw std::runtime_error("no TOPK file of version 1");
  TopkGolden golden;
  golden.prompts = bytes.take<uint32_t>();
  golden.positions = bytes.take<uint32_t>();
  golden.k = bytes.take<uint32_t>();
  golden.vocabulary = bytes.take<uint32_t>();
  golden.tokens = bytes.take<uint32_t>(size_t{golden.prompts} * golden.positions);
  for (size_t row = 0; row < size_t{golden.prompts} * golden.positions; ++row) {
    const auto ids = bytes.take<uint32_t>(golden.k);
    const auto logprobs = bytes.take<float>(golden.k);
    golden.ids.insert(golden.ids.end(), ids.begin(), ids.end());
    golden.logprobs.insert(golden.logprobs.end(), logprobs.begin(), logprobs.end());
    golden.rest.push_back(bytes.take<float>());
  }
  if (!bytes.empty()) throw std::runtime_error("a golden file goes on behind its end");
  return golden;
}

PerplexityGolden perplexity_golden(const std::string& model) {
  const Json json = read_json(data_folder() / "perplexity" / (model + ".json"));
  const std::vector<uint32_t> tokens = json.at("tokens");
  const bool has_bos = !json.at("bos").is_null();
  const size_t cut = json.at("window").get<size_t>() - (has_bos ? 1 : 0);
  PerplexityGolden golden;
  golden.mean_nll = json.at("mean_nll");
  size_t at = 0;
  for (const Json& one : json.at("windows")) {
    PerplexityGolden::Window window{.tokens = {}, .nll = one.at("nll"), .scored = one.at("scored")};
    if (has_bos) window.tokens.push_back(json.at("bos"));
    const size_t end = std::min(tokens.size(), at + cut);
    window.tokens.insert(window.tokens.end(), tokens.begin() + static_cast<ptrdiff_t>(at), tokens.begin() + static_cast<ptrdiff_t>(end));
    at = end;
    if (window.scored + 1 != window.tokens.size()) throw std::runtime_error("a perplexity window scores all tokens but the first");
    golden.windows.push_back(std::move(window));
  }
  if (at != tokens.size()) throw std::runtime_error("perplexity windows cover the text");
  return golden;
}

std::vector<EmbeddingGolden> embedding_goldens(const std::string& model) {
  const Json json = read_json(data_folder() / "embeddings" / (model + ".json"));
  const size_t width = json.at("dimension"), count = json.at("texts").size();
  const std::vector<float> values = read_floats(data_folder() / "embeddings" / json.at("values").get<std::string>(), count * width);
  std::vector<EmbeddingGolden> goldens;
  for (size_t i = 0; i < count; ++i) {
    const Json& one = json.at("texts").at(i);
    goldens.push_back({.text = one.at("text"), .tokens = one.at("tokens"),
                       .vector = {values.begin() + static_cast<ptrdiff_t>(i * width), values.begin() + static_cast<ptrdiff_t>((i + 1) * width)}});
  }
  return goldens;
}

std::vector<GreedyGolden> greedy_goldens(const std::string& model) {
  const Json json = read_json(data_folder() / "logits" / "greedy.json");
  std::vector<GreedyGolden> goldens;
  for (const Json& one : json.at(model)) {
    goldens.push_back({.continuation = one.at("continuation"), .prompt = one.at("prompt_ids"), .ids = one.at("ids"), .margins = one.at("margins"),
                       .stopped = one.at("stopped")});
  }
  return goldens;
}

}  // namespace accelerate::conformance
