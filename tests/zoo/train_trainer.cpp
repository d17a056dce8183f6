#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

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

FakeLanguageModel seeded_model() {
  at::manual_seed(3);
  return FakeLanguageModel(16, 8);
}

bool same_parameters(const FakeLanguageModel& a, const FakeLanguageModel& b) {
  const auto left = named_tensors(a), right = named_tensors(b);
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
  auto model = seeded_model();
  const auto data = counting_text();
  auto config = small_config();
  config.steps = 60;
  Trainer trainer(model, data, config);
  const double first = trainer.step().loss;
  double last = first;
  while (trainer.steps_done() < config.steps) last = trainer.step().loss;
  EXPECT_NEAR(first, std::log(16.0), 0.1);
  EXPECT_LT(last, 0.2);
}

class ContinuedRun : public testing::TestWithParam<std::string> {};

TEST_P(ContinuedRun, is_bit_for_bit_the_run_that_never_stopped) {
  const auto data = counting_text();
  const auto config = small_config(GetParam());
  auto whole_model = seeded_model();
  Trainer whole(whole_model, data, config);
  std::vector<double> losses;
  while (whole.steps_done() < config.steps) losses.push_back(whole.step().loss);

  const auto folder = checkpoint_folder(GetParam());
  auto first_model = seeded_model();
  Trainer first(first_model, data, config);
  for (int i = 0; i < 5; ++i) first.step();
  first.save(folder, {});

  FakeLanguageModel second_model(16, 8);
  Trainer second(second_model, data, config);
  second.restore(folder);
  ASSERT_EQ(second.steps_done(), 5);
  for (size_t i = 5; i < 8; ++i) EXPECT_EQ(second.step().loss, losses[i]);
  EXPECT_TRUE(same_parameters(second_model, whole_model));
}

INSTANTIATE_TEST_SUITE_P(Trainer, ContinuedRun, testing::Values("shuffled", "consecutive"));

TEST(Trainer, restores_the_random_numbers_of_torch) {
  auto model = seeded_model();
  const auto data = counting_text();
  Trainer trainer(model, data, small_config());
  trainer.step();
  trainer.save(checkpoint_folder("random"), {});
  const auto expected = at::rand({4});
  at::manual_seed(99);
  trainer.restore(checkpoint_folder("random"));
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
}

TEST(Trainer, gives_back_the_callers_notes) {
  auto model = seeded_model();
  const auto data = counting_text();
  Trainer trainer(model, data, small_config());
  trainer.save(checkpoint_folder("notes"), {{"seconds", "12.5"}});
  EXPECT_EQ(trainer.restore(checkpoint_folder("notes"))["seconds"], "12.5");
}

TEST(Trainer, a_checkpoint_of_another_model_is_refused) {
  auto model = seeded_model();
  const auto data = counting_text();
  Trainer(model, data, small_config()).save(checkpoint_folder("other"), {});
  FakeLanguageModel wider(16, 9);
  Trainer trainer(wider, data, small_config());
  EXPECT_THAT([&] { trainer.restore(checkpoint_folder("other")); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("emb must be [16, 9] Float, got [16, 8] Float")));
}

TEST(Trainer, accumulated_batches_are_one_large_batch) {
  const auto data = counting_text();
  auto large = small_config();
  large.optimizer.logit_penalty = 0;
  auto small = large;
  small.batch = 2;
  small.accumulate = 2;
  auto large_model = seeded_model(), small_model = seeded_model();
  const auto expected = Trainer(large_model, data, large).step();
  const auto result = Trainer(small_model, data, small).step();
  EXPECT_NEAR(result.loss, expected.loss, 1e-6);
  EXPECT_NEAR(result.gradient_norm, expected.gradient_norm, 1e-6);
  EXPECT_TRUE(at::allclose(small_model.head, large_model.head, 1e-4, 1e-5));
}

TEST(Trainer, clipping_limits_what_the_optimizer_sees) {
  const auto data = counting_text();
  auto config = small_config();
  config.optimizer.clip = 1e-3;
  auto model = seeded_model();
  Trainer trainer(model, data, config);
  EXPECT_GT(trainer.step().gradient_norm, 1e-3);
  const auto folder = checkpoint_folder("clip");
  trainer.save(folder, {});
  AdamW reread(model, config.optimizer);
  double squares = 0;
  const auto source = open_tensors(folder / "trainer.safetensors");
  for (const auto& [name, like] : reread.moments())
    if (name.ends_with(".exp_avg")) squares += as_tensor(*source.find(name)).square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(squares), 0.1 * 1e-3, 1e-7);
}

TEST(Trainer, a_carried_state_makes_two_windows_one) {
  const auto data = counting_text();
  auto config = small_config("consecutive");
  config.data.reset = 0;
  config.optimizer.learning_rate = 1e-30;
  config.optimizer.final_learning_rate = 0;
  auto model = seeded_model();
  Trainer trainer(model, data, config);
  trainer.step();
  const double loss = trainer.step().loss;

  BatchPlan plan(500, config);
  const auto starts = plan.batch(0).starts;
  std::vector<at::Tensor> rows;
  for (const int64_t start : starts) rows.push_back(data.train.slice(0, start, start + 13).to(at::kLong));
  const auto tokens = at::stack(rows);
  const auto logits = model.forward(tokens.slice(1, 0, 12)).logits.slice(1, 6).flatten(0, 1);
  const auto expected = at::cross_entropy_loss(logits, tokens.slice(1, 7).flatten()).item<double>();
  EXPECT_NEAR(loss, expected, 1e-5);
}

TEST(Trainer, a_loss_that_is_not_finite_stops_the_run) {
  auto model = seeded_model();
  {
    const at::NoGradGuard no_grad;
    model.scale.fill_(std::numeric_limits<float>::infinity());
  }
  const auto data = counting_text();
  Trainer trainer(model, data, small_config());
  EXPECT_THAT([&] { trainer.step(); }, testing::ThrowsMessage<Error>(testing::HasSubstr("step 1: the loss")));
}

TEST(Trainer, bfloat16_products_leave_parameters_in_fp32) {
  auto config = small_config();
  config.precision = "bf16";
  auto model = seeded_model();
  const auto data = counting_text();
  Trainer trainer(model, data, config);
  trainer.step();
  EXPECT_EQ(model.head.scalar_type(), at::kFloat);
  EXPECT_EQ(model.head.grad().defined(), false);
}

}  // namespace
}  // namespace wkv::zoo
