#include "train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numbers>
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

}  // namespace

Progress::Progress(const TrainConfig& config, const Trainer& trainer, double bytes_per_token, double seconds_before,
                   uintmax_t metrics_bytes, std::ostream& stream, bool live)
    : config_(config),
      trainer_(trainer),
      bytes_per_token_(bytes_per_token),
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
                                  {"tokens", trainer_.steps_done() * trainer_.tokens_per_step()},
                                  {"epoch", trainer_.epochs()},
                                  {"loss", result.loss},
                                  {"learning_rate", result.learning_rate},
                                  {"gradient_norm", result.gradient_norm},
                                  {"seconds", seconds()}}
               .dump());
  const bool last = trainer_.steps_done() == config_.steps;
  if (first || last || Clock::now() - shown_ >= (live_ ? kLiveInterval : kLogInterval)) show();
}

void Progress::evaluation(double bits_per_byte) {
  bits_per_byte_ = bits_per_byte;
  metric(nlohmann::ordered_json{
      {"step", trainer_.steps_done()}, {"held_out_bits_per_byte", bits_per_byte}, {"seconds", seconds()}}
             .dump());
  message(fmt::format("step {}  held-out bits per byte {:.4f}", trainer_.steps_done(), bits_per_byte));
}

void Progress::message(const std::string& text) {
  stream_ << (line_open_ ? "\n" : "") << text << std::endl;
  line_open_ = false;
}

void Progress::show() {
  shown_ = Clock::now();
  const int64_t done = trainer_.steps_done() - first_step_;
  const double elapsed = std::chrono::duration<double>(shown_ - start_).count();
  const double rate = static_cast<double>(done * trainer_.tokens_per_step()) / elapsed;
  const double left = elapsed / static_cast<double>(done) * static_cast<double>(config_.steps - trainer_.steps_done());
  const auto line = fmt::format(
      "step {}/{}  epoch {:.2f}  loss {:.4f}  bits/byte {:.3f}{}  lr {:.2e}  norm {:.2f}  {:.1f}k tokens/s  {} left",
      trainer_.steps_done(), config_.steps, trainer_.epochs(), smooth_loss_,
      smooth_loss_ / std::numbers::ln2 / bytes_per_token_,
      bits_per_byte_ ? fmt::format(" (held out {:.3f})", *bits_per_byte_) : "", last_.learning_rate,
      last_.gradient_norm, rate / 1000, duration(left));
  if (live_) {
    stream_ << '\r' << line << "\x1b[K" << std::flush;
    line_open_ = true;
  } else {
    stream_ << line << std::endl;
  }
}

}  // namespace wkv::zoo
