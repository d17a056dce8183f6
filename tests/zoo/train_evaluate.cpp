#include <gtest/gtest.h>

#include <numbers>

#include "train/evaluate.h"
#include "train_fake_model.h"

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
    EXPECT_DOUBLE_EQ(held_out_bits_per_byte(*test::uniform_model(256), random_bytes(10, held_out)), 8.0);
}

TEST(TrainEvaluate, bits_are_counted_per_byte_and_not_per_token) {
  auto data = random_bytes(10, 100);
  data.held_out_bytes = 400;
  EXPECT_DOUBLE_EQ(held_out_bits_per_byte(*test::uniform_model(256), data), 2.0);
}

TEST(TrainEvaluate, every_held_out_token_is_predicted_from_all_before_it) {
  at::manual_seed(0);
  test::FakeLanguageModel model(256, 4);
  const auto data = random_bytes(300, 6000);  // more than one chunk
  const auto tokens = at::cat({data.train, data.held_out}).to(at::kLong).unsqueeze(0);
  const auto logits = model.forward(tokens.slice(1, 0, -1)).logits[0].slice(0, 299).to(at::kDouble);
  const auto nats = at::cross_entropy_loss(logits, tokens[0].slice(0, 300)).item<double>();
  EXPECT_NEAR(held_out_bits_per_byte(model, data), nats / std::numbers::ln2, 1e-9);
}

TEST(TrainEvaluate, leaves_no_gradient) {
  test::FakeLanguageModel model(256, 4);
  held_out_bits_per_byte(model, random_bytes(10, 10));
  EXPECT_FALSE(model.emb.grad().defined());
}

}  // namespace
}  // namespace wkv::zoo
