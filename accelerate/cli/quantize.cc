#include <chrono>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/json.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"
#include "accelerate/core/quantization.h"
#include "accelerate/formats/open.h"
#include "accelerate/formats/quantize_file.h"

namespace accelerate {
namespace {

std::string_view reason_name(QuantizationReason reason) {
  switch (reason) {
    case QuantizationReason::kAsked: return "asked";
    case QuantizationReason::kSmall: return "small";
    case QuantizationReason::kTable: return "table";
    case QuantizationReason::kRows: return "rows";
    case QuantizationReason::kAlready: return "already";
  }
  return "";
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

Json json_of(const QualityChange& quality) {
  const LogitsComparison& n = quality.numbers;
  Json json = {{"rows", n.rows}, {"cosine_distance_max", n.cosine_distance_max}, {"kl_mean", nullptr}, {"kl_max", nullptr}, {"top1_agreement", nullptr},
               {"perplexity_before", nullptr}, {"perplexity_after", nullptr}, {"notes", quality.notes}};
  if (n.kl_max > 0 || n.top1_agreement > 0) {
    json["kl_mean"] = n.kl_mean;
    json["kl_max"] = n.kl_max;
    json["top1_agreement"] = n.top1_agreement;
  }
  if (quality.perplexity_before) json["perplexity_before"] = *quality.perplexity_before;
  if (quality.perplexity_after) json["perplexity_after"] = *quality.perplexity_after;
  return json;
}

class QuantizeVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IN", in_, "A GGUF file, or a name that `models` lists")->required();
    app.add_option("OUT", out_, "The GGUF file to write")->required()->type_name("FILE");
    app.add_option("--type", type_, "f32, f16, bf16, int8 (Q8_0), int4 (Q4_K), or a GGUF type as q4_k; default: int4")->type_name("TYPE");
    app.add_flag("--force", force_, "Replace OUT where it is there already");
    app.add_flag("--no-quality", no_quality_, "Do not run both models to see what it cost");
    app.add_option("--threads", flags_.threads, "CPU threads; default: what affinity and quota grant")
        ->check(CLI::Range(uint32_t{1}, ThreadPool::kThreadsMax))->type_name("N");
    app.add_flag("--no-pull", flags_.no_pull, "Do not fetch a model of the catalog that is not here yet: fail instead");
    app.add_flag("--json", json_, "One JSON object");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(const DType type, quantization_from_name(type_));
    ACC_TRY(const std::string in, file_of(console));
    const uint32_t threads = flags_.threads != 0 ? flags_.threads : cpu_info().threads_usable;
    const auto start = std::chrono::steady_clock::now();
    ACC_TRY(const QuantizedFile done, [&] {
      ProgressLine progress(console);
      return quantize_gguf(in, out_, {.type = type, .threads = threads, .replace = force_}, progress);
    }());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!json_ && !console.put(sizes_text(done, seconds))) return console.output_error();
    std::string unmeasured = no_quality_ ? "--no-quality" : "";
    std::optional<QualityChange> quality;
    if (!no_quality_) {
      Result<QualityChange> measured = measure(console, in);
      if (measured) quality = *std::move(measured);
      else unmeasured = measured.error().message;
      if (!measured && measured.error().code == ErrorCode::kCancelled) {
        return Error{ErrorCode::kCancelled, fmt::format("[quantize] stopped while measuring; '{}' is written and whole", printable(out_))};
      }
    }
    if (json_) return console.put_json(dump_json(to_json(in, done, seconds, quality, unmeasured))) ? Result<void>() : console.output_error();
    return console.put(quality_text(quality, unmeasured)) ? Result<void>() : console.output_error();
  }

 private:
  /// The one GGUF file that IN means.
  Result<std::string> file_of(Console& console) const {
    ACC_TRY_VOID(ensure_pulled(console, in_, flags_));
    ACC_TRY(const ModelLocation where, locate_model(in_));
    std::error_code ignored;
    if (!std::filesystem::is_directory(where.path, ignored) && std::filesystem::path(where.path).extension() != ".safetensors") return where.path;
    ACC_TRY(const std::shared_ptr<Model> model, open_model(where.path));
    if (model->format.starts_with("gguf") && model->files.size() == 1) return model->files.front()->path().string();
    return Error{ErrorCode::kUnimplemented,
                 fmt::format("[quantize] IN is a GGUF file: its names and vocabulary are what OUT needs; got {} in '{}'; try a GGUF download of the "
                             "model, or --quantization of a verb that loads it", model->format, printable(where.path))};
  }

  Result<QualityChange> measure(Console& console, const std::string& in) const {
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    ProgressLine progress(console);
    return engine->compare(in, out_, progress, {.deadline = {}, .stop = &stop_flag()});
  }

  std::string sizes_text(const QuantizedFile& done, double seconds) const {
    const QuantizationPlan& plan = done.plan;
    std::string text = fmt::format("{}: {}, was {}: {} smaller ({:.1f} s)\n", printable(out_), format_bytes(done.bytes_after), format_bytes(done.bytes_before),
                                   percent(1 - share(done.bytes_after, done.bytes_before)), seconds);
    text += fmt::format("weights {} as {}: {} smaller than as f32, {:.2f} bits each\n", format_bytes(plan.bytes), plan.name(),
                        percent(1 - share(plan.bytes, plan.bytes_f32)), 32 * share(plan.bytes, plan.bytes_f32));
    for (const std::string& note : plan.notes()) text += "  " + note + "\n";
    return text;
  }

  static std::string quality_text(const std::optional<QualityChange>& quality, const std::string& unmeasured) {
    if (!quality) return fmt::format("quality: not measured: {}\n", unmeasured);
    const LogitsComparison& n = quality->numbers;
    std::string text;
    if (n.kl_max > 0 || n.top1_agreement > 0) {
      text = fmt::format("quality over {} tokens of text: mean KL {:.3g} nats, largest {:.3g}, the same first choice {}\n", n.rows, n.kl_mean, n.kl_max,
                         percent(n.top1_agreement));
    } else {
      text = fmt::format("quality over {} vectors: largest cosine distance {:.3g}\n", n.rows, n.cosine_distance_max);
    }
    if (quality->perplexity_before && quality->perplexity_after) {
      text += fmt::format("perplexity {:.3f}, was {:.3f}: {:+.2f} %\n", *quality->perplexity_after, *quality->perplexity_before,
                          100 * (*quality->perplexity_after / *quality->perplexity_before - 1));
    }
    for (const std::string& note : quality->notes) text += "  " + note + "\n";
    return text;
  }

  Json to_json(const std::string& in, const QuantizedFile& done, double seconds, const std::optional<QualityChange>& quality, const std::string& unmeasured) const {
    Json tensors = Json::array();
    for (const QuantizationPlan::Group& group : done.plan.groups) {
      tensors.push_back({{"type", dtype_traits(group.type).name}, {"reason", reason_name(group.reason)}, {"tensors", group.tensors}, {"bytes", group.bytes},
                         {"example", group.example}});
    }
    return {{"in", in}, {"out", out_}, {"asked", dtype_traits(done.plan.asked).name}, {"quantization", done.plan.name()}, {"bytes_before", done.bytes_before},
            {"bytes_after", done.bytes_after}, {"weights_bytes", done.plan.bytes}, {"weights_bytes_f32", done.plan.bytes_f32},
            {"smaller_than_f32", 1 - share(done.plan.bytes, done.plan.bytes_f32)}, {"tensors", tensors}, {"requantized", done.plan.requantized},
            {"seconds", seconds}, {"quality", quality ? json_of(*quality) : Json()}, {"quality_missing", unmeasured.empty() ? Json() : Json(unmeasured)},
            {"notes", done.plan.notes()}};
  }

  static double share(uint64_t part, uint64_t whole) { return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole); }

  std::string in_, out_, type_ = "int4";
  bool force_ = false, no_quality_ = false, json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_quantize_verb() { return std::make_unique<QuantizeVerb>(); }

}  // namespace accelerate
