#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "train/language_task.h"
#include "train/trainer.h"
#include "train_fake_model.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

using test::FakeLanguageModel;

TrainConfig small_config(const std::string& order = "shuffled") {
  TrainConfig config;
  config.steps = 8;
  config.batch = 4;
  config.context = 6;
  config.data.order = order;
  config.data.reset = 0.2;
  config.optimizer.learning_rate = 0.05;
  return config;
}

TextData counting_text() {
  return {.train = (at::arange(500) % 16).to(at::kByte), .held_out = at::zeros({0}, at::kByte), .vocab = 16};
}

// A run of the trainer with the model that it trains.
struct TrainedFake {
  explicit TrainedFake(const TrainConfig& config, uint64_t model_seed = 3, int64_t width = 8)
      : model(new_model(model_seed, width)), task(model, counting_text(), config), trainer(task, config) {}
  static std::shared_ptr<FakeLanguageModel> new_model(uint64_t seed, int64_t width) {
    at::manual_seed(seed);
    return std::make_shared<FakeLanguageModel>(16, width);
  }
  std::shared_ptr<FakeLanguageModel> model;
  LanguageTask task;
  Trainer trainer;
};

bool same_parameters(const TrainedFake& a, const TrainedFake& b) {
  const auto left = named_tensors(*a.model), right = named_tensors(*b.model);
  for (size_t i = 0; i < left.size(); ++i)
    if (!at::equal(left[i].second, right[i].second)) return false;
  return true;
}

std::filesystem::path checkpoint_folder(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("trainer_" + name);
  std::filesystem::create_directories(folder);
  return folder;
}

TEST(Trainer, learns_to_count) {
  auto config = small_config();
  config.steps = 60;
  TrainedFake fake(config);
  const double first = fake.trainer.step().loss;
  double last = first;
  while (fake.trainer.steps_done() < config.steps) last = fake.trainer.step().loss;
  EXPECT_NEAR(first, std::log(16.0), 0.1);
  EXPECT_LT(last, 0.2);
}

class ContinuedRun : public testing::TestWithParam<std::string> {};

TEST_P(ContinuedRun, is_bit_for_bit_the_run_that_never_stopped) {
  const auto config = small_config(GetParam());
  TrainedFake whole(config);
  std::vector<double> losses;
  while (whole.trainer.steps_done() < config.steps) losses.push_back(whole.trainer.step().loss);

  const auto folder = checkpoint_folder(GetParam());
  TrainedFake first(config);
  for (int i = 0; i < 5; ++i) first.trainer.step();
  first.trainer.save(folder, first.trainer.gather(), {});

  TrainedFake second(config, /*model_seed=*/99);
  second.trainer.restore(folder);
  ASSERT_EQ(second.trainer.steps_done(), 5);
  for (size_t i = 5; i < 8; ++i) EXPECT_EQ(second.trainer.step().loss, losses[i]);
  EXPECT_TRUE(same_parameters(second, whole));
}

INSTANTIATE_TEST_SUITE_P(Trainer, ContinuedRun, testing::Values("shuffled", "consecutive"));

// A model that drops units at random, so that a run can be told by what it drew.
struct DrawingModel : FakeLanguageModel {
  using FakeLanguageModel::FakeLanguageModel;
  at::Tensor logits(const at::Tensor& values) override {
    drawn.push_back(at::rand({4}));
    return FakeLanguageModel::logits(values);
  }
  std::vector<at::Tensor> drawn;
};

TEST(Trainer, what_a_model_draws_depends_on_the_batch_alone) {
  const auto config = small_config();
  const auto drawn = [&](uint64_t disturbance) {
    const auto model = std::make_shared<DrawingModel>(16, 8);
    LanguageTask task(model, counting_text(), config);
    Trainer trainer(task, config);
    for (int i = 0; i < 2; ++i) {
      at::manual_seed(disturbance + static_cast<uint64_t>(i));
      trainer.step();
    }
    return model->drawn;
  };
  const auto one = drawn(5), other = drawn(50);
  ASSERT_EQ(one.size(), 2U);
  EXPECT_TRUE(at::equal(one[0], other[0]) && at::equal(one[1], other[1]));
  EXPECT_FALSE(at::equal(one[0], one[1]));
}

TEST(Trainer, gives_back_the_callers_notes) {
  TrainedFake fake(small_config());
  fake.trainer.save(checkpoint_folder("notes"), fake.trainer.gather(), {{"seconds", "12.5"}});
  EXPECT_EQ(fake.trainer.restore(checkpoint_folder("notes"))["seconds"], "12.5");
}

TEST(Trainer, a_checkpoint_of_another_model_is_refused) {
  const TrainedFake fake(small_config());
  fake.trainer.save(checkpoint_folder("other"), fake.trainer.gather(), {});
  TrainedFake wider(small_config(), 3, /*width=*/9);
  EXPECT_THAT([&] { wider.trainer.restore(checkpoint_folder("other")); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("emb must be [16, 9] Float, got [16, 8] Float")));
}

TEST(Trainer, accumulated_batches_are_one_large_batch) {
  auto large_config = small_config();
  large_config.optimizer.logit_penalty = 0;
  auto small_config = large_config;
  small_config.batch = 2;
  small_config.accumulate = 2;
  TrainedFake large(large_config), small(small_config);
  const auto expected = large.trainer.step(), result = small.trainer.step();
  EXPECT_NEAR(result.loss, expected.loss, 1e-6);
  EXPECT_NEAR(result.gradient_norm, expected.gradient_norm, 1e-6);
  EXPECT_TRUE(at::allclose(small.model->head, large.model->head, 1e-4, 1e-5));
}

TEST(Trainer, clipping_limits_what_the_optimizer_sees) {
  auto config = small_config();
  config.optimizer.clip = 1e-3;
  TrainedFake fake(config);
  EXPECT_GT(fake.trainer.step().gradient_norm, 1e-3);
  const auto folder = checkpoint_folder("clip");
  fake.trainer.save(folder, fake.trainer.gather(), {});
  AdamW reread(*fake.model, fake.model->groups, config.optimizer);
  double squares = 0;
  const auto source = open_tensors(folder / "trainer.safetensors");
  for (const auto& [name, like] : reread.moments())
    if (name.ends_with(".exp_avg")) squares += as_tensor(*source.find(name)).square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(squares), 0.1 * 1e-3, 1e-7);
}

TEST(Trainer, a_carried_state_makes_two_windows_one) {
  auto config = small_config("consecutive");
  config.data.reset = 0;
  config.optimizer.learning_rate = 1e-30;
  config.optimizer.final_learning_rate = 0;
  TrainedFake fake(config);
  fake.trainer.step();
  const double loss = fake.trainer.step().loss;

  BatchPlan plan(500, config);
  std::vector<at::Tensor> rows;
  for (const int64_t start : plan.batch(0).starts)
    rows.push_back(counting_text().train.slice(0, start, start + 13).to(at::kLong));
  const auto tokens = at::stack(rows);
  const auto logits = fake.model->forward(tokens.slice(1, 0, 12)).logits.slice(1, 6).flatten(0, 1);
  const auto expected = at::cross_entropy_loss(logits, tokens.slice(1, 7).flatten()).item<double>();
  EXPECT_NEAR(loss, expected, 1e-5);
}

TEST(Trainer, ranks_take_the_rows_of_one_batch) {
  const auto config = small_config();
  const double whole = TrainedFake(config).task.loss(3).item<double>();
  double mean = 0;
  for (const int64_t rank : {0, 1}) {
    LanguageTask task(TrainedFake::new_model(3, 8), counting_text(), config, {.index = rank, .count = 2});
    mean += task.loss(3).item<double>() / 2;
  }
  EXPECT_NEAR(mean, whole, 1e-6);
}

TEST(Trainer, a_loss_that_is_not_finite_stops_the_run) {
  TrainedFake fake(small_config());
  {
    const at::NoGradGuard no_grad;
    fake.model->scale.fill_(std::numeric_limits<float>::infinity());
  }
  EXPECT_THAT([&] { fake.trainer.step(); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("not finite, first in scale")));
}

TEST(Trainer, bfloat16_products_leave_parameters_in_fp32) {
  auto config = small_config();
  config.precision = "bf16";
  TrainedFake fake(config);
  fake.trainer.step();
  EXPECT_EQ(fake.model->head.scalar_type(), at::kFloat);
  EXPECT_EQ(fake.model->head.grad().defined(), false);
}

}  // namespace
}  // namespace wkv::zoo
