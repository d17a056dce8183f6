#include <gtest/gtest.h>

#include <numbers>

#include "train/evaluate.h"
#include "train_fake_model.h"
#include "wkv/models/transformer.h"

namespace wkv::zoo {
namespace {

TextData random_bytes(int64_t train, int64_t held_out) {
  return {.train = at::randint(256, {train}).to(at::kByte),
          .held_out = at::randint(256, {held_out}).to(at::kByte),
          .held_out_bytes = held_out,
          .vocab = 256};
}

TEST(TrainEvaluate, a_model_that_knows_nothing_needs_eight_bits_a_byte) {
  for (const int64_t held_out : {1, 100, 4096, 5000})
    EXPECT_DOUBLE_EQ(held_out_bits_per_byte(*test::uniform_model(256), random_bytes(10, held_out), 8), 8.0);
}

TEST(TrainEvaluate, bits_are_counted_per_byte_and_not_per_token) {
  auto data = random_bytes(10, 100);
  data.held_out_bytes = 400;
  EXPECT_DOUBLE_EQ(held_out_bits_per_byte(*test::uniform_model(256), data, 8), 2.0);
}

TEST(TrainEvaluate, every_held_out_token_is_predicted_from_all_before_it) {
  at::manual_seed(0);
  test::FakeLanguageModel model(256, 4);
  const auto data = random_bytes(300, 6000);  // more than one chunk
  const auto tokens = at::cat({data.train, data.held_out}).to(at::kLong).unsqueeze(0);
  const auto logits = model.forward(tokens.slice(1, 0, -1)).logits[0].slice(0, 299).to(at::kDouble);
  const auto nats = at::cross_entropy_loss(logits, tokens[0].slice(0, 300)).item<double>();
  EXPECT_NEAR(held_out_bits_per_byte(model, data, 8), nats / std::numbers::ln2, 1e-9);
}

// Nats of token i of [n] given the `ahead` tokens before it.
double nats_of(models::LanguageModel& model, const at::Tensor& tokens, int64_t i, int64_t ahead) {
  const at::Tensor logits = model.forward(tokens.slice(0, i - ahead, i).unsqueeze(0)).logits[0].slice(0, ahead - 1);
  return at::cross_entropy_loss(logits.to(at::kDouble), tokens.slice(0, i, i + 1)).item<double>();
}

TEST(TrainEvaluate, a_model_whose_state_grows_sees_one_context_at_most_and_half_of_one_at_least) {
  at::manual_seed(0);
  models::Transformer model(models::TransformerOptions{.layers = 1, .width = 16, .head_size = 8, .vocab = 256});
  for (const auto& parameter : model->parameters()) parameter.set_data(at::randn_like(parameter));
  const auto data = random_bytes(100, 21);
  const auto tokens = at::cat({data.train, data.held_out}).to(at::kLong);
  double nats = 0;
  // Windows of 8 tokens count their last 4 each; the last window ends with the text.
  for (int64_t i = 100; i < 120; ++i) nats += nats_of(*model, tokens, i, 5 + i % 4);
  nats += nats_of(*model, tokens, 120, 8);
  EXPECT_NEAR(held_out_bits_per_byte(*model, data, 8), nats / std::numbers::ln2 / 21, 1e-6);
}

TEST(TrainEvaluate, leaves_no_gradient) {
  test::FakeLanguageModel model(256, 4);
  held_out_bits_per_byte(model, random_bytes(10, 10), 8);
  EXPECT_FALSE(model.emb.grad().defined());
}

}  // namespace
}  // namespace wkv::zoo
