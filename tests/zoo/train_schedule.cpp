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

TEST(TrainSchedule, a_warmup_begins_where_the_recipe_says) {
  auto optimizer = kOptimizer;
  optimizer.warmup_start = 0.001;
  EXPECT_NEAR(learning_rate(optimizer, 0, 110), 0.001, 1e-12);
  EXPECT_NEAR(learning_rate(optimizer, 5, 110), 0.5005, 1e-12);
}

TEST(TrainSchedule, without_warmup_the_first_step_has_the_full_rate) {
  auto optimizer = kOptimizer;
  optimizer.warmup = 0;
  EXPECT_EQ(learning_rate(optimizer, 0, 100), 1.0);
}

TEST(TrainSchedule, a_warmup_longer_than_the_run_never_reaches_the_full_rate) {
  for (int64_t step = 0; step < 5; ++step) EXPECT_LT(learning_rate(kOptimizer, step, 5), 0.5);
}

struct CyclePoint {
  int64_t step;
  double rate, beta1;
};

class OneCycle : public testing::TestWithParam<CyclePoint> {};

// By torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=40, pct_start=0.1, div_factor=25,
// final_div_factor=1e4).
TEST_P(OneCycle, is_that_of_pytorch) {
  const TrainConfig::Optimizer optimizer{
      .learning_rate = 2e-3, .final_learning_rate = 8e-9, .decay = "one_cycle", .warmup = 4};
  EXPECT_NEAR(learning_rate(optimizer, GetParam().step, 40), GetParam().rate, 1e-15);
  EXPECT_NEAR(beta1(optimizer, GetParam().step, 40), GetParam().beta1, 1e-14);
}

INSTANTIATE_TEST_SUITE_P(TrainSchedule, OneCycle,
                         testing::Values(CyclePoint{0, 7.999999999999999e-05, 0.95},
                                         CyclePoint{1, 0.00056, 0.9249999999999999},
                                         CyclePoint{2, 0.0015199999999999999, 0.875}, CyclePoint{3, 0.002, 0.85},
                                         CyclePoint{4, 0.001996194713312953, 0.8501902650954127},
                                         CyclePoint{10, 0.0018191527676808146, 0.8590423977855504},
                                         CyclePoint{21, 0.0010000039999999999, 0.8999999999999999},
                                         CyclePoint{38, 3.813286687046822e-06, 0.9498097349045872},
                                         CyclePoint{39, 8e-09, 0.95}));

TEST(TrainSchedule, beta1_is_the_recipes_but_for_one_cycle) {
  EXPECT_EQ(beta1({.decay = "cosine", .beta1 = 0.8}, 3, 10), 0.8);
}

}  // namespace
}  // namespace wkv::zoo
