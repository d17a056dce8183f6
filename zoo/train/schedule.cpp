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

}  // namespace

double learning_rate(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps) {
  const auto after_warmup = static_cast<double>(std::max<int64_t>(steps - optimizer.warmup, 1));
  const double progress = std::clamp(static_cast<double>(step - optimizer.warmup) / after_warmup, 0.0, 1.0);
  const double rate = decayed(optimizer, progress);
  if (step >= optimizer.warmup) return rate;
  return rate * (0.01 + 0.99 * static_cast<double>(step) / static_cast<double>(optimizer.warmup));
}

}  // namespace wkv::zoo
