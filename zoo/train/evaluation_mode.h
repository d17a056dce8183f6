// What evaluations of vision models share.
#pragma once
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "wkv/models/model.h"

namespace wkv::zoo {

// While it lives, a model drops no paths and there are no gradients.
class EvaluationMode {
 public:
  explicit EvaluationMode(models::Model& model) : model_(model), training_(model.is_training()) { model_.eval(); }
  ~EvaluationMode() { model_.train(training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  at::NoGradGuard no_grad_;
  models::Model& model_;
  bool training_;
};

// Gives the numbers below `count` to `use`, at most `most` at a time.
inline void for_each_part(int64_t count, int64_t most, const std::function<void(const std::vector<int64_t>&)>& use) {
  for (int64_t first = 0; first < count; first += most) {
    std::vector<int64_t> part;
    for (int64_t i = first; i < std::min(first + most, count); ++i) part.push_back(i);
    use(part);
  }
}

}  // namespace wkv::zoo
