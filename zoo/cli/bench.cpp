// `wkv bench`: how fast a model decodes and reads prompts, how long it takes to load, and how much memory it holds.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/memory.h"
#include "bench/report.h"
#include "bench/worker.h"
#include "cli/commands.h"
#include "wkv/error.h"
#include "wkv/version.h"

namespace wkv::cli {
namespace {

struct BenchArguments {
  std::string model, config;
  std::vector<std::string> dtypes = {""};  // "": as `wkv generate` takes it by itself
  zoo::BenchOptions options;
  bool worker = false, json = false;
};

struct TimedModel {
  std::shared_ptr<models::LanguageModel> model;
  double load_seconds = 0;
};

TimedModel load_timed(const BenchArguments& arguments, const std::string& dtype) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  LanguageModelArguments one;
  one.model = arguments.model;
  one.config = arguments.config;
  one.dtype = dtype;
  TimedModel loaded{one.load()};
  loaded.load_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return loaded;
}

std::string name_of_dtype(const std::string& asked, const models::LanguageModel& model) {
  if (!asked.empty()) return asked;
  return model.quantized() ? "quantised" : zoo::dtype_name(model.parameters().front().scalar_type());
}

struct DtypeReport {
  std::string dtype;
  double load_seconds = 0;
  zoo::ProcessMemory before_load, after_load, at_end;
  std::vector<zoo::BenchResult> results;
};

DtypeReport bench_dtype(const BenchArguments& arguments, const std::string& dtype) {
  zoo::forget_peak_memory();
  DtypeReport report{.before_load = zoo::process_memory()};
  const TimedModel loaded = load_timed(arguments, dtype);
  report.dtype = name_of_dtype(dtype, *loaded.model);
  report.load_seconds = loaded.load_seconds;
  report.after_load = zoo::process_memory();
  report.results = zoo::measure_speed(*loaded.model, arguments.options);
  report.at_end = zoo::process_memory();
  return report;
}

nlohmann::ordered_json to_json(const DtypeReport& report) {
  nlohmann::ordered_json json = {{"dtype", report.dtype},
                                 {"load_seconds", report.load_seconds},
                                 {"resident_mib_before_load", report.before_load.resident},
                                 {"resident_mib_after_load", report.after_load.resident},
                                 {"peak_mib", report.at_end.peak},
                                 {"results", nlohmann::ordered_json::array()}};
  for (const zoo::BenchResult& r : report.results) {
    json["results"].push_back(
        {{"work", r.work},
         {"threads", r.threads},
         {"batch", r.batch},
         {"tokens", r.tokens},
         {"tokens_per_second", {{"median", r.median}, {"lowest", r.lowest}, {"highest", r.highest}}}});
  }
  return json;
}

std::string to_text(const DtypeReport& report) {
  std::string text = fmt::format(
      "{}: loaded in {:.3f} s; MiB resident: {:.0f} before it, {:.0f} after it, {:.0f} at most\n", report.dtype,
      report.load_seconds, report.before_load.resident, report.after_load.resident, report.at_end.peak);
  text += fmt::format("  {:<7} {:>7} {:>6} {:>7} {:>10}   {}\n", "work", "threads", "batch", "tokens", "tokens/s",
                      "lowest - highest");
  for (const zoo::BenchResult& r : report.results) {
    text += fmt::format("  {:<7} {:>7} {:>6} {:>7} {:>10.1f}   {:.1f} - {:.1f}\n", r.work, r.threads, r.batch, r.tokens,
                        r.median, r.lowest, r.highest);
  }
  return text;
}

void run_worker(const BenchArguments& arguments) {
  const auto& threads = arguments.options.threads;
  if (arguments.dtypes.size() != 1 || threads.size() > 1)
    throw CLI::ValidationError("--worker", "takes one --dtype and one number of --threads");
  if (!threads.empty()) at::set_num_threads(static_cast<int>(threads[0]));
  const TimedModel loaded = load_timed(arguments, arguments.dtypes[0]);
  const std::string name = "libwkv-" + name_of_dtype(arguments.dtypes[0], *loaded.model);
  zoo::serve_bench_worker(*loaded.model, name, loaded.load_seconds, std::cin, std::cout);
}

void run_bench(const BenchArguments& arguments) {
  if (arguments.worker) return run_worker(arguments);
  nlohmann::ordered_json json = {{"model", arguments.model},
                                 {"version", version()},
                                 {"torch", torch_version()},
                                 {"rounds", arguments.options.rounds},
                                 {"dtypes", nlohmann::ordered_json::array()}};
  for (const std::string& dtype : arguments.dtypes) {
    const DtypeReport report = bench_dtype(arguments, dtype);
    if (!arguments.json) print(to_text(report));
    json["dtypes"].push_back(to_json(report));
  }
  if (arguments.json) print(json.dump(2) + "\n");
}

// Numbers separated by commas, each from 1 to `most`.
CLI::Option* add_counts(CLI::App& command, const std::string& name, std::vector<int64_t>& counts, int64_t most,
                        const std::string& text) {
  return command.add_option(name, counts, text)
      ->check(CLI::Range(int64_t{1}, most))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* command = app.add_subcommand("bench", "Measure speed, load time and memory of a model");
  auto arguments = std::make_shared<BenchArguments>();
  zoo::BenchOptions& options = arguments->options;
  command->add_option("MODEL", arguments->model, kModelHelp)->required();
  command->add_option("--config", arguments->config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  add_dtypes(*command, arguments->dtypes);
  add_counts(*command, "--threads", options.threads, 1024, "Numbers of threads (default: one a core)");
  const std::initializer_list<CLI::Option*> measuring = {
      add_counts(*command, "--batch", options.batches, 1024, "Sequences at once"),
      add_counts(*command, "--prompt", options.prompts, 1 << 17, "Tokens of a prompt"),
      command->add_option("--decode", options.decode, "Tokens to decode in each sequence")
          ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
          ->capture_default_str(),
      command->add_option("--rounds", options.rounds, "How often everything is measured")
          ->check(CLI::Range(int64_t{1}, int64_t{10000}))
          ->capture_default_str(),
      command->add_flag("--json", arguments->json, "One JSON object instead of tables"),
  };
  auto* worker =
      command->add_flag("--worker", arguments->worker,
                        "Answer commands on standard input: decode N, prefill T, logits K, rss, quit; measure nothing");
  for (CLI::Option* option : measuring) worker->excludes(option);
  command->callback([arguments] { run_bench(*arguments); });
}

}  // namespace wkv::cli
