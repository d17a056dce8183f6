#include "bench/report.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "bench/work.h"

namespace wkv::zoo {
namespace {

struct BenchCase {
  BenchResult result;
  std::vector<double> rates;

  WorkTime run(models::LanguageModel& model) const {
    const auto time = result.work == "decode" ? time_decode : time_prompt;
    return time(model, result.tokens, result.batch);
  }
};

std::vector<BenchCase> bench_cases(const BenchOptions& options, int64_t threads) {
  std::vector<BenchCase> cases;
  for (const int64_t batch : options.batches)
    cases.push_back({{.work = "decode", .threads = threads, .batch = batch, .tokens = options.decode}, {}});
  for (const int64_t batch : options.batches)
    for (const int64_t tokens : options.prompts)
      cases.push_back({{.work = "prompt", .threads = threads, .batch = batch, .tokens = tokens}, {}});
  return cases;
}

double middle(const std::vector<double>& sorted) {
  const size_t n = sorted.size();
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

struct KeepThreads {
  int before = at::get_num_threads();
  ~KeepThreads() { at::set_num_threads(before); }
};

}  // namespace

std::vector<BenchResult> measure_speed(models::LanguageModel& model, const BenchOptions& options) {
  const KeepThreads keep;
  std::vector<BenchResult> results;
  for (const int64_t threads : options.threads.empty() ? std::vector<int64_t>{keep.before} : options.threads) {
    at::set_num_threads(static_cast<int>(threads));
    std::vector<BenchCase> cases = bench_cases(options, threads);
    for (const BenchCase& each : cases) each.run(model);  // once without the clock; refuses what can't be
    for (int64_t round = 0; round < options.rounds; ++round) {
      for (BenchCase& each : cases) {
        const auto tokens = static_cast<double>(each.result.batch * each.result.tokens);
        each.rates.push_back(tokens / each.run(model).seconds);
      }
    }
    for (BenchCase& each : cases) {
      std::ranges::sort(each.rates);
      each.result.median = middle(each.rates);
      each.result.lowest = each.rates.front();
      each.result.highest = each.rates.back();
      results.push_back(std::move(each.result));
    }
  }
  return results;
}

}  // namespace wkv::zoo
