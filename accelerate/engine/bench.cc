#include "accelerate/engine/bench.h"

#include <algorithm>
#include <limits>

#include "accelerate/base/cpu.h"
#include "accelerate/engine/bench_round.h"

namespace accelerate {
namespace {

// Closes what run_bench opened, however it ends.
class OpenedHere {
 public:
  OpenedHere(Engine& engine, std::string name) : engine_(engine), name_(std::move(name)) {}
  ~OpenedHere() { (void)engine_.close(name_); }
  OpenedHere(const OpenedHere&) = delete;
  OpenedHere& operator=(const OpenedHere&) = delete;

 private:
  Engine& engine_;
  std::string name_;
};

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  const size_t middle = samples.size() / 2;
  std::nth_element(samples.begin(), samples.begin() + middle, samples.end());
  if (samples.size() % 2 == 1) return samples[middle];
  return (samples[middle] + *std::max_element(samples.begin(), samples.begin() + middle)) / 2;
}

Result<BenchReport> run_bench(Engine& engine, const std::string& model, const BenchOptions& options, Progress& progress) {
  ACC_TRY_VOID(check_bench_options(options));
  const OpenOptions open = bench_open_options(options, options.open);
  ACC_TRY(const ModelDescription description, engine.describe(model, open));
  ACC_TRY(const std::shared_ptr<Endpoint> endpoint, engine.open(model, open, progress));
  const EndpointInfo& info = endpoint->info();
  const OpenedHere closing(engine, info.name);
  ACC_TRY_VOID(check_bench_context(options, info));
  BenchReport report = begin_report(engine, description, info, options, open);
  BenchRounds rounds(*endpoint, options, description.vocabulary);
  const StepControl control{.deadline = {}, .stop = options.stop};
  ACC_TRY_VOID(rounds.warm_up(control));
  while (report.rounds < options.rounds) {
    if (!progress.update("rounds", report.rounds, options.rounds, "rounds")) {
      report.cancelled = true;
      break;
    }
    const Result<void> round = rounds.run(report.samples, control);
    report.cancelled = !round && round.error().code == ErrorCode::kCancelled;
    if (report.cancelled) break;
    ACC_TRY_VOID(round);
    ++report.rounds;
  }
  report.memory_peak_bytes = resident_peak_bytes();
  return report;
}

}  // namespace accelerate
