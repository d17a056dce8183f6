// The learning rate of each step.
#pragma once
#include <cstdint>

#include "wkv/zoo/train.h"

namespace wkv::zoo {

// Warm-up from 1 % linearly, times the decay from learning_rate to final_learning_rate over the steps after the
// warm-up. step: 0 for the first of `steps`.
WKV_API double learning_rate(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps);

}  // namespace wkv::zoo
