#include <gmock/gmock.h>

#include <cmath>

#include "train/optimizer.h"
#include "train_fake_model.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using test::FakeLanguageModel;

TrainConfig::Optimizer plain_options() { return {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-18, .weight_decay = 0.1}; }

void set_gradients(FakeLanguageModel& model, double value) {
  for (auto& parameter : {model.emb, model.head, model.scale})
    const_cast<at::Tensor&>(parameter).mutable_grad() = at::full_like(parameter, value);
}

// The first step of Adam is the learning rate in the direction of the gradient's sign, whatever the gradient's size.
TEST(TrainAdamW, scales_the_learning_rate_by_group) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 3.0);
  optimizer.step(1, 0.01, 0.9, 1.0);
  EXPECT_TRUE(at::allclose(model.scale, at::full({4}, 1 - 2 * 0.01)));
}

TEST(TrainAdamW, decays_the_weights_of_decayed_groups_only) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  const auto emb = model.emb.detach().clone();
  set_gradients(model, 1.0);
  optimizer.step(1, 0.01, 0.9, 1.0);
  EXPECT_TRUE(at::allclose(model.emb, emb * (1 - 0.01 * 0.1) - 0.01));
}

TEST(TrainAdamW, corrects_the_bias_of_its_moments) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 1.0);
  optimizer.step(1, 0.0, 0.9, 1.0);
  set_gradients(model, 4.0);
  optimizer.step(2, 0.01, 0.9, 1.0);
  const double m = (0.9 * 0.1 * 1 + 0.1 * 4) / (1 - 0.9 * 0.9);
  const double v = (0.99 * 0.01 * 1 + 0.01 * 16) / (1 - 0.99 * 0.99);
  EXPECT_TRUE(at::allclose(model.scale, at::full({4}, 1 - 0.02 * m / std::sqrt(v))));
}

TEST(TrainAdamW, divides_gradients) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 6.0);
  optimizer.step(1, 0.01, 0.9, 3.0);
  for (const auto& [name, tensor] : optimizer.moments()) {
    if (name == "scale.exp_avg") {
      EXPECT_TRUE(at::allclose(tensor, at::full({4}, 0.1 * 2.0)));
    }
  }
}

TEST(TrainAdamW, leaves_parameters_without_a_gradient_alone) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 1.0);
  optimizer.step(1, 0.01, 0.9, 1.0);
  EXPECT_TRUE(at::equal(model.unused, at::ones({2})));
}

TEST(TrainAdamW, a_zero_gradient_gives_no_nan) {
  FakeLanguageModel model(8, 4);
  AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 0.0);
  optimizer.step(1, 0.01, 0.9, 1.0);
  EXPECT_TRUE(at::equal(model.scale, at::ones({4})));
}

TEST(TrainAdamW, the_norm_is_that_of_all_gradients_together) {
  FakeLanguageModel model(8, 4);
  const AdamW optimizer(model, model.groups, plain_options());
  set_gradients(model, 0.5);
  EXPECT_NEAR(optimizer.gradient_norm(), 0.5 * std::sqrt(8 * 4 + 8 * 4 + 4), 1e-6);
}

TEST(TrainAdamW, what_is_not_trained_is_frozen) {
  FakeLanguageModel model(8, 4);
  auto options = plain_options();
  options.train = {"hea", "scale"};
  AdamW optimizer(model, model.groups, options);
  EXPECT_EQ(optimizer.trained_elements(), model.head.numel() + model.scale.numel());
  EXPECT_FALSE(model.emb.requires_grad());
  EXPECT_TRUE(model.head.requires_grad());
  const at::Tensor emb = model.emb.detach().clone(), head = model.head.detach().clone();
  set_gradients(model, 1.0);
  optimizer.step(1, 0.01, 0.9, 1.0);
  EXPECT_TRUE(at::equal(model.emb, emb));
  EXPECT_FALSE(at::equal(model.head, head));
}

TEST(TrainAdamW, a_part_that_is_in_no_name_is_refused) {
  const FakeLanguageModel model(8, 4);
  auto options = plain_options();
  options.train = {"head", "time_mix"};
  EXPECT_THROW(AdamW(model, model.groups, options), Error);
}

TEST(TrainAdamW, a_group_that_names_no_parameter_is_refused) {
  FakeLanguageModel model(8, 4);
  model.groups.push_back({{"missing"}, 1.0, false});
  EXPECT_THAT([&] { AdamW(model, model.groups, plain_options()); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("missing is no parameter")));
}

TEST(TrainAdamW, a_parameter_in_two_groups_is_refused) {
  FakeLanguageModel model(8, 4);
  model.groups.push_back({{"emb"}, 1.0, false});
  EXPECT_THAT([&] { AdamW(model, model.groups, plain_options()); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("emb is in another group too")));
}

}  // namespace
}  // namespace wkv::zoo
