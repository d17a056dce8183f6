// The learning rate of each step, and beta1.
#pragma once
#include <cstdint>

#include "wkv/zoo/train.h"

namespace wkv::zoo {

// Warm-up from warmup_start linearly, times the decay from learning_rate to final_learning_rate over the steps after
// the warm-up. one_cycle (arXiv 1708.07120, as PyTorch's OneCycleLR has it): half a cosine from learning_rate / 25 up,
// which the last step of the warm-up ends, then half a cosine down to final_learning_rate at the last step. step: 0 for
// the first of `steps`.
WKV_API double learning_rate(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps);

// optimizer.beta1, or what one_cycle has for it: from 0.95 to 0.85 while the rate rises, and back while it falls.
WKV_API double beta1(const TrainConfig::Optimizer& optimizer, int64_t step, int64_t steps);

}  // namespace wkv::zoo
