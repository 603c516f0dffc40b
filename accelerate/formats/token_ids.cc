#include "accelerate/formats/token_ids.h"

#include <optional>

#include <fmt/format.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

/// Follows {"added_tokens": [{"id", "content"}], "model": {"vocab": {token: id} or [[token, score]]}}; depth counts open
/// objects and arrays, so added tokens are objects at depth 3 and vocabulary entries keys at depth 3.
class Finder : public nlohmann::json_sax<Json> {
 public:
  explicit Finder(const std::set<std::string>& wanted) : wanted_(wanted) {}

  std::map<std::string, uint32_t> found;
  std::optional<size_t> broken_at;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > UINT32_MAX || depth_ != 3) return true;
    if (in_added() && field_ == "id") id_ = static_cast<uint32_t>(value);
    else if (in_vocabulary() && !list_ && wanted_.contains(field_)) return add(field_, static_cast<uint32_t>(value));
    return true;
  }
  bool string(string_t& text) override {
    if (in_added() && depth_ == 3 && field_ == "content") content_ = text;
    // Unigram: [[token, score], ...], the position is the id.
    if (in_vocabulary() && list_ && depth_ == 4 && wanted_.contains(text)) return add(text, position_);
    return true;
  }
  bool start_object(size_t) override {
    ++depth_;
    if (in_added() && depth_ == 3) id_.reset(), content_.reset();
    if (in_vocabulary() && depth_ == 3) list_ = false;
    return true;
  }
  bool end_object() override {
    --depth_;
    if (in_added() && depth_ == 2 && id_ && content_ && wanted_.contains(*content_)) return add(*content_, *id_);
    return true;
  }
  bool start_array(size_t) override {
    ++depth_;
    if (in_vocabulary() && depth_ == 3) list_ = true, position_ = 0;
    return true;
  }
  bool end_array() override {
    --depth_;
    if (in_vocabulary() && list_ && depth_ == 3) ++position_;
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ == 1) top_ = name, second_.clear();
    if (depth_ == 2) second_ = name;
    if (depth_ == 3) field_ = name;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    broken_at = position;
    return false;
  }

 private:
  bool in_added() const { return top_ == "added_tokens"; }
  bool in_vocabulary() const { return top_ == "model" && second_ == "vocab"; }
  /// False (stop) once everything is known.
  bool add(const std::string& token, uint32_t id) {
    found.emplace(token, id);  // the first wins: added tokens come before the model
    return found.size() < wanted_.size();
  }

  const std::set<std::string>& wanted_;
  int depth_ = 0;
  bool list_ = false;
  uint32_t position_ = 0;
  std::string top_, second_, field_;
  std::optional<uint32_t> id_;
  std::optional<std::string> content_;
};

}  // namespace

Result<std::map<std::string, uint32_t>> find_token_ids(std::string_view tokenizer_json, const std::set<std::string>& wanted) {
  Finder finder(wanted);
  if (wanted.empty()) return std::move(finder.found);
  Json::sax_parse(tokenizer_json.begin(), tokenizer_json.end(), &finder);
  if (finder.broken_at) {
    return Error{ErrorCode::kDataLoss, fmt::format("[hugging face] tokenizer.json is valid JSON; got something else at byte {} of {}; "
                                                   "try fetching it again", *finder.broken_at, tokenizer_json.size())};
  }
  return std::move(finder.found);
}

}  // namespace accelerate
