#include "train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/progress_bar.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::chrono::milliseconds kLiveInterval{200}, kLogInterval{10'000};
constexpr double kSmoothing = 0.98;  // of the loss on the line; the metrics hold each step's own

std::string short_number(double value) {
  return value >= 1000 ? fmt::format("{:.1f}k", value / 1000) : fmt::format("{:.1f}", value);
}

}  // namespace

Progress::Progress(const TrainConfig& config, const Trainer& trainer, double seconds_before, uintmax_t metrics_bytes,
                   std::ostream& stream, bool live)
    : config_(config),
      trainer_(trainer),
      file_(std::filesystem::path(config.output) / "metrics.jsonl"),
      stream_(stream),
      live_(live),
      seconds_before_(seconds_before),
      first_step_(trainer.steps_done()),
      logged_step_(first_step_) {
  if (std::filesystem::exists(file_) && std::filesystem::file_size(file_) > metrics_bytes)
    std::filesystem::resize_file(file_, metrics_bytes);
  metrics_.open(file_, std::ios::app);
  if (!metrics_) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be written", file_.string()));
}

Progress::~Progress() {
  if (line_open_) stream_ << std::endl;
}

double Progress::seconds() const {
  return seconds_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

uintmax_t Progress::metrics_bytes() {
  if (!metrics_.flush()) throw Error(ErrorCode::disk_full, fmt::format("{}: cannot be written", file_.string()));
  return std::filesystem::file_size(file_);
}

void Progress::metric(const std::string& line) { metrics_ << line << '\n' << std::flush; }

void Progress::step(const StepResult& result) {
  const bool first = trainer_.steps_done() == first_step_ + 1;
  smooth_loss_ = first ? result.loss : kSmoothing * smooth_loss_ + (1 - kSmoothing) * result.loss;
  if (trainer_.steps_done() % config_.log_every == 0) {
    const std::string unit = trainer_.task().unit();
    metric(nlohmann::ordered_json{{"step", trainer_.steps_done()},
                                  {unit, trainer_.steps_done() * trainer_.units_per_step()},
                                  {"epoch", trainer_.epochs()},
                                  {"loss", result.loss},
                                  {"learning_rate", result.learning_rate},
                                  {"gradient_norm", result.gradient_norm},
                                  {unit + "_per_second", units_per_second(logged_step_, logged_)},
                                  {"seconds", seconds()}}
               .dump());
    logged_step_ = trainer_.steps_done();
    logged_ = Clock::now();
  }
  const bool last = trainer_.steps_done() == config_.steps;
  if (first || last || Clock::now() - shown_ >= (live_ ? kLiveInterval : kLogInterval)) show();
}

void Progress::evaluation(const std::vector<Measurement>& measurements) {
  if (measurements.empty()) return;
  nlohmann::ordered_json line{{"step", trainer_.steps_done()}};
  std::string text;
  for (const auto& [name, value] : measurements) {
    line[name] = value;
    std::string words = name;
    std::ranges::replace(words, '_', ' ');
    text += fmt::format("  {} {:.4f}", words, value);
  }
  line["seconds"] = seconds();
  metric(line.dump());
  message(fmt::format("step {}{}", trainer_.steps_done(), text));
}

void Progress::message(const std::string& text) {
  stream_ << (line_open_ ? "\n" : "") << text << std::endl;
  line_open_ = false;
}

double Progress::units_per_second(int64_t since_step, Clock::time_point since) const {
  const int64_t steps = trainer_.steps_done() - since_step;
  return static_cast<double>(steps * trainer_.units_per_step()) /
         std::chrono::duration<double>(Clock::now() - since).count();
}

// At most 100 columns, so that a terminal shows it as one line.
void Progress::show() {
  shown_ = Clock::now();
  const double rate = units_per_second(first_step_, start_);
  const auto done = static_cast<double>(trainer_.steps_done()), all = static_cast<double>(config_.steps);
  const double left = (all - done) * static_cast<double>(trainer_.units_per_step()) / rate;
  const auto line =
      fmt::format("{} {}/{}  {}  {} {}/s  {} left", progress_bar(done / all), trainer_.steps_done(), config_.steps,
                  trainer_.task().describe(smooth_loss_), short_number(rate), trainer_.task().unit(), duration(left));
  if (live_) {
    stream_ << '\r' << line << "\x1b[K" << std::flush;
    line_open_ = true;
  } else {
    stream_ << line << std::endl;
  }
}

}  // namespace wkv::zoo
