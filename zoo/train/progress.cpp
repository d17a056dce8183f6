#include "train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::chrono::milliseconds kLiveInterval{200}, kLogInterval{10'000};
constexpr double kSmoothing = 0.98;  // of the loss on the line; the metrics hold each step's own

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

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
      first_step_(trainer.steps_done()) {
  if (std::filesystem::exists(file_) && std::filesystem::file_size(file_) > metrics_bytes)
    std::filesystem::resize_file(file_, metrics_bytes);
  metrics_.open(file_, std::ios::app);
  if (!metrics_) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be written", file_.string()));
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
  last_ = result;
  const bool first = trainer_.steps_done() == first_step_ + 1;
  smooth_loss_ = first ? result.loss : kSmoothing * smooth_loss_ + (1 - kSmoothing) * result.loss;
  if (trainer_.steps_done() % config_.log_every == 0)
    metric(nlohmann::ordered_json{{"step", trainer_.steps_done()},
                                  {trainer_.task().unit(), trainer_.steps_done() * trainer_.units_per_step()},
                                  {"epoch", trainer_.epochs()},
                                  {"loss", result.loss},
                                  {"learning_rate", result.learning_rate},
                                  {"gradient_norm", result.gradient_norm},
                                  {"seconds", seconds()}}
               .dump());
  const bool last = trainer_.steps_done() == config_.steps;
  if (first || last || Clock::now() - shown_ >= (live_ ? kLiveInterval : kLogInterval)) show();
}

void Progress::evaluation(const std::vector<Measurement>& measurements) {
  if (measurements.empty()) return;
  nlohmann::ordered_json line{{"step", trainer_.steps_done()}};
  measurements_.clear();
  for (const auto& [name, value] : measurements) {
    line[name] = value;
    std::string words = name;
    std::ranges::replace(words, '_', ' ');
    measurements_ += fmt::format("  {} {:.4f}", words, value);
  }
  line["seconds"] = seconds();
  metric(line.dump());
  message(fmt::format("step {}{}", trainer_.steps_done(), measurements_));
}

void Progress::message(const std::string& text) {
  stream_ << (line_open_ ? "\n" : "") << text << std::endl;
  line_open_ = false;
}

void Progress::show() {
  shown_ = Clock::now();
  const int64_t done = trainer_.steps_done() - first_step_;
  const double elapsed = std::chrono::duration<double>(shown_ - start_).count();
  const double rate = static_cast<double>(done * trainer_.units_per_step()) / elapsed;
  const double left = elapsed / static_cast<double>(done) * static_cast<double>(config_.steps - trainer_.steps_done());
  const auto line =
      fmt::format("step {}/{}  epoch {:.2f}  {}{}  lr {:.2e}  norm {:.2f}  {} {}/s  {} left", trainer_.steps_done(),
                  config_.steps, trainer_.epochs(), trainer_.task().describe(smooth_loss_), measurements_,
                  last_.learning_rate, last_.gradient_norm, short_number(rate), trainer_.task().unit(), duration(left));
  if (live_) {
    stream_ << '\r' << line << "\x1b[K" << std::flush;
    line_open_ = true;
  } else {
    stream_ << line << std::endl;
  }
}

}  // namespace wkv::zoo
