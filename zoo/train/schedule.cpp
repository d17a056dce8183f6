#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace wkv::zoo {

namespace {

double decayed(const TrainConfig::Optimizer& o, double progress) {
  if (o.decay == "exponential") return o.learning_rate * std::pow(o.final_learning_rate / o.learning_rate, progress);
  const double remaining = o.decay == "linear" ? 1.0 - progress : 0.5 + 0.5 * std::cos(std::numbers::pi * progress);
  return o.final_learning_rate + (o.learning_rate - o.final_learning_rate) * remaining;
}

// A value that one cycle takes from `start` to `peak` and then to `end`.
double one_cycle(double start, double peak, double end, int64_t warmup, int64_t step, int64_t steps) {
  const auto half_cosine = [](double from, double to, double progress) {
    return to + (from - to) * (0.5 + 0.5 * std::cos(std::numbers::pi * progress));
  };
  const int64_t top = std::max<int64_t>(warmup - 1, 0);  // the step of the peak
  if (step < top) return half_cosine(start, peak, static_cast<double>(step) / static_cast<double>(top));
  const auto falling = static_cast<double>(std::max<int64_t>(steps - 1 - top, 1));
  return half_cosine(peak, end, std::min(static_cast<double>(step - top) / falling, 1.0));
}

}  // namespace

double learning_rate(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps) {
  if (optimizer.decay == "one_cycle") {
    constexpr double kStartDivisor = 25;
    return one_cycle(optimizer.learning_rate / kStartDivisor, optimizer.learning_rate, optimizer.final_learning_rate,
                     optimizer.warmup, step, steps);
  }
  const auto after_warmup = static_cast<double>(std::max<int64_t>(steps - optimizer.warmup, 1));
  const double progress = std::clamp(static_cast<double>(step - optimizer.warmup) / after_warmup, 0.0, 1.0);
  const double rate = decayed(optimizer, progress);
  if (step >= optimizer.warmup) return rate;
  const double start = optimizer.warmup_start;
  return rate * (start + (1 - start) * static_cast<double>(step) / static_cast<double>(optimizer.warmup));
}

double beta1(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps) {
  if (optimizer.decay != "one_cycle") return optimizer.beta1;
  constexpr double kLow = 0.85, kHigh = 0.95;
  return one_cycle(kHigh, kLow, kHigh, optimizer.warmup, step, steps);
}

}  // namespace wkv::zoo
