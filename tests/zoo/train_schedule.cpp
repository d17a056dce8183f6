#include <gtest/gtest.h>

#include <cmath>

#include "train/schedule.h"

namespace wkv::zoo {
namespace {

const TrainConfig::Optimizer kOptimizer{.learning_rate = 1.0, .final_learning_rate = 0.1, .warmup = 10};

struct Point {
  const char* decay;
  int64_t step;
  double rate;
};

class LearningRate : public testing::TestWithParam<Point> {};

TEST_P(LearningRate, follows_the_recipe) {
  auto optimizer = kOptimizer;
  optimizer.decay = GetParam().decay;
  EXPECT_NEAR(learning_rate(optimizer, GetParam().step, 110), GetParam().rate, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(TrainSchedule, LearningRate,
                         testing::Values(Point{"cosine", 0, 0.01}, Point{"cosine", 5, 0.505}, Point{"cosine", 10, 1.0},
                                         Point{"cosine", 60, 0.55}, Point{"cosine", 110, 0.1},
                                         Point{"cosine", 500, 0.1}, Point{"linear", 0, 0.01}, Point{"linear", 10, 1.0},
                                         Point{"linear", 35, 0.775}, Point{"linear", 110, 0.1},
                                         Point{"exponential", 10, 1.0}, Point{"exponential", 60, std::sqrt(0.1)},
                                         Point{"exponential", 110, 0.1}));

TEST(TrainSchedule, without_warmup_the_first_step_has_the_full_rate) {
  auto optimizer = kOptimizer;
  optimizer.warmup = 0;
  EXPECT_EQ(learning_rate(optimizer, 0, 100), 1.0);
}

TEST(TrainSchedule, a_warmup_longer_than_the_run_never_reaches_the_full_rate) {
  for (int64_t step = 0; step < 5; ++step) EXPECT_LT(learning_rate(kOptimizer, step, 5), 0.5);
}

}  // namespace
}  // namespace wkv::zoo
