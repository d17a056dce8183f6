#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace wkv::zoo {

double learning_rate(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps) {
  const auto after_warmup = static_cast<double>(std::max<int64_t>(steps - optimizer.warmup, 1));
  const double progress = std::clamp(static_cast<double>(step - optimizer.warmup) / after_warmup, 0.0, 1.0);
  const double remaining =
      optimizer.decay == "linear" ? 1.0 - progress : 0.5 + 0.5 * std::cos(std::numbers::pi * progress);
  const double rate =
      optimizer.final_learning_rate + (optimizer.learning_rate - optimizer.final_learning_rate) * remaining;
  if (step >= optimizer.warmup) return rate;
  return rate * (0.01 + 0.99 * static_cast<double>(step) / static_cast<double>(optimizer.warmup));
}

}  // namespace wkv::zoo
