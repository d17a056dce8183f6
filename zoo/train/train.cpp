// A whole run: model, data, steps, evaluations and checkpoints as the recipe says, and the finished model's files.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <csignal>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "io/atomic_file.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/process_group.h"
#include "train/progress.h"
#include "train/ranks.h"
#include "train/task.h"
#include "train/trainer.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

// While it lives, the first SIGINT or SIGTERM is noted and a second one ends the program as usual.
class StopSignals {
 public:
  StopSignals() {
    stop_requested = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { stop_requested = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~StopSignals() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  bool requested() const { return stop_requested != 0; }

 private:
  struct sigaction interrupt_ {
  }, terminate_{};
};

// What a checkpoint notes for the run beyond the trainer's own.
struct Notes {
  double seconds = 0.0;
  uintmax_t metrics_bytes = 0;
  double loss = 0.0;

  std::map<std::string, std::string> to_map() const {
    return {{"seconds", fmt::format("{}", seconds)},
            {"metrics_bytes", fmt::format("{}", metrics_bytes)},
            {"loss", fmt::format("{}", loss)}};
  }
  static Notes from_map(const std::map<std::string, std::string>& map) {
    Notes notes;
    const auto read = [&](const char* key, auto& value) {
      const auto item = map.find(key);
      if (item != map.end()) std::from_chars(item->second.data(), item->second.data() + item->second.size(), value);
    };
    read("seconds", notes.seconds);
    read("metrics_bytes", notes.metrics_bytes);
    read("loss", notes.loss);
    return notes;
  }
};

void require_recipe_of(const std::filesystem::path& checkpoint, const TrainConfig& config) {
  const auto key = first_difference(parse_train_config(checkpoint / "recipe.json"), config);
  if (!key.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} was made with another {}: set it as {} has it, or choose another output folder",
                            checkpoint.string(), key, (checkpoint / "recipe.json").string()));
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text + "\n");
  file.commit();
}

void create_output(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("output: cannot make the folder {}: {}", folder.string(), error.message()));
}

at::ScalarType export_dtype(const TrainConfig& config) {
  return config.export_dtype == "bf16" ? at::kBFloat16 : at::kFloat;
}

// The values that the exported file has.
void round_parameters(models::Model& model, at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : model.parameters()) parameter.copy_(parameter.to(dtype));
}

std::string card(const TrainConfig& config, Task& task, const TrainReport& report) {
  nlohmann::ordered_json json{{"family", task.model().family()},
                              {"parameters", count_parameters(task.model())},
                              {"dtype", config.export_dtype},
                              {"command", "wkv train recipe.json"},
                              {"recipe", nlohmann::ordered_json::parse(to_json(config))},
                              {"seed", config.seed},
                              {"steps", report.steps},
                              {"final_loss", report.final_loss},
                              {"seconds", report.seconds},
                              {"threads", at::get_num_threads()}};
  json.update(task.data_card());
  for (const auto& [name, value] : report.measurements) json[name] = value;
  return json.dump(2);
}

// The run, or one rank's part in it. Rank 0 alone evaluates, reports and writes; the others wait for it at their next
// exchange.
TrainReport run(const TrainConfig& config, ProcessGroup* ranks, std::ostream& progress_stream, bool live) {
  const bool leads = ranks == nullptr || ranks->rank() == 0;
  const Rank rank = rank_of(config, ranks);
  const std::filesystem::path output = config.output;
  const auto checkpoint = newest_checkpoint(output);
  if (ranks != nullptr) require_same_checkpoint(checkpoint, config, *ranks);
  if (checkpoint) require_recipe_of(*checkpoint, config);

  at::manual_seed(config.seed);  // for a new model's values
  const auto task = make_task(config, rank);
  models::Model& model = task->model();
  model.train();
  Trainer trainer(*task, config, ranks);
  Notes notes;
  if (checkpoint) notes = Notes::from_map(trainer.restore(*checkpoint));
  if (leads) create_output(output);

  const StopSignals stop;
  std::optional<Progress> progress;
  if (leads) progress.emplace(config, trainer, notes.seconds, notes.metrics_bytes, progress_stream, live);
  if (leads && checkpoint) progress->message(fmt::format("going on from {}", checkpoint->string()));
  if (const int64_t trained = trainer.trained_elements(), all = count_parameters(model); leads && trained < all) {
    const auto& parts = config.optimizer.train;
    progress->message(
        fmt::format("training {} of {} parameters{}", trained, all,
                    parts.empty() ? "" : fmt::format(", those with {} in their names", fmt::join(parts, ", "))));
  }
  const auto save = [&]() -> std::filesystem::path {
    const auto gathered = trainer.gather();
    if (!leads) return {};
    notes.metrics_bytes = progress->metrics_bytes();
    notes.seconds = progress->seconds();
    return write_checkpoint(output, trainer.steps_done(), [&](const std::filesystem::path& folder) {
      trainer.save(folder, gathered, notes.to_map());
      write_text(folder / "config.json", model.config_json());
      write_text(folder / "recipe.json", to_json(config));
    });
  };
  const auto due = [&](int64_t every) { return every > 0 && trainer.steps_done() % every == 0; };
  const auto report = [&](bool finished, const std::filesystem::path& folder) {
    return TrainReport{finished, trainer.steps_done(), notes.loss, {}, notes.seconds, folder};
  };

  const auto step = [&] {
    try {
      return trainer.step();
    } catch (const Error& error) {
      const auto last = newest_checkpoint(output);
      if (!last || error.code() != ErrorCode::invalid_argument) throw;  // a rank that is gone says what to do itself
      throw Error(error.code(), fmt::format("{}; another run may start from {}, as its model.checkpoint", error.what(),
                                            last->string()));
    }
  };

  while (trainer.steps_done() < config.steps) {
    const auto result = step();
    notes.loss = result.loss;
    if (leads) progress->step(result);
    const bool last = trainer.steps_done() == config.steps;
    if (leads && !last && due(config.evaluate_every)) progress->evaluation(task->evaluate());
    const bool stopped = ranks == nullptr ? stop.requested() : ranks->any(stop.requested());
    if (last || stopped || due(config.checkpoint_every)) {
      const auto folder = save();
      if (stopped && !last) return report(false, folder);
    }
  }
  if (!leads) return report(true, {});

  const bool export_model = task->finish(output);
  auto done = report(true, output);
  if (export_model) round_parameters(model, export_dtype(config));
  done.measurements = task->evaluate();
  progress->evaluation(done.measurements);
  if (export_model)
    write_safetensors(output / "model.safetensors", named_tensors(model, export_dtype(config)), model.metadata());
  write_text(output / "config.json", model.config_json());
  write_text(output / "recipe.json", to_json(config));
  for (const auto& [name, text] : task->companion_files()) write_text(output / name, text);
  write_text(output / "card.json", card(config, *task, done));
  return done;
}

}  // namespace

TrainReport train(const TrainConfig& config, std::ostream& progress_stream, bool live) {
  if (config.threads > 0) at::set_num_threads(static_cast<int>(config.threads));
  const auto ranks = join(rendezvous_from_environment());
  if (!ranks) return run(config, nullptr, progress_stream, live);
  try {
    require_same_recipe(config, *ranks);
    auto report = run(config, ranks.get(), progress_stream, live);
    ranks->leave();
    return report;
  } catch (const std::exception& error) {
    ranks->report_failure(error.what());
    throw;
  }
}

}  // namespace wkv::zoo
