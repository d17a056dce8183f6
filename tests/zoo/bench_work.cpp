#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "bench/work.h"
#include "bench_counting_model.h"
#include "io_files.h"
#include "wkv/zoo/load.h"

namespace wkv::test {

TEST(BenchWork, tokens_are_multiples_of_7919_in_the_vocabulary) {
  EXPECT_TRUE(at::equal(zoo::bench_tokens(4, 10000), at::tensor({0, 7919, 5838, 3757}, at::kLong)));
}

TEST(BenchWork, a_sequence_decodes_after_two_tokens_one_by_one_with_logits_each_time) {
  CountingModel model;
  const auto time = zoo::time_decode(model, 5);
  EXPECT_EQ(model.runs, (CountingModel::Sizes{{1, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}));
  EXPECT_EQ(model.tokens_with_logits, 5);
  EXPECT_GT(time.seconds, 0);
  EXPECT_GT(time.cpu_seconds, 0);
}

TEST(BenchWork, several_sequences_decode_together) {
  CountingModel model;
  zoo::time_decode(model, 3, /*batch=*/4);
  EXPECT_EQ(model.runs, (CountingModel::Sizes{{4, 1}, {4, 1}, {4, 1}, {4, 1}, {4, 1}}));
  EXPECT_EQ(model.tokens_with_logits, 3 * 4);
}

TEST(BenchWork, a_prompt_has_the_logits_of_its_last_token_only) {
  CountingModel model;
  zoo::time_prompt(model, 7, /*batch=*/2);
  EXPECT_EQ(model.runs, (CountingModel::Sizes{{2, 7}}));
  EXPECT_EQ(model.tokens_with_logits, 2);
}

TEST(BenchWork, logits_are_those_of_the_model) {
  const auto model = zoo::load_language_model(zoo::kEmbeddedModel);
  const at::Tensor tokens = zoo::bench_tokens(9, model->vocab_size());
  const at::Tensor expected = model->forward(tokens.unsqueeze(0)).logits[0][8];
  EXPECT_TRUE(at::allclose(zoo::bench_logits(*model, 9), expected, 1e-5, 1e-5));
}

TEST(BenchWork, a_state_that_grows_decodes_alone_only) {
  CountingModel model("past_k");
  EXPECT_GT(zoo::time_decode(model, 1).seconds, 0);
  expect_error(ErrorCode::invalid_argument, "its state grows", [&] { zoo::time_decode(model, 1, 2); });
}

TEST(BenchWork, states_that_no_memory_holds_are_refused) {
  CountingModel model;
  expect_error(ErrorCode::invalid_argument, "the states of 4611686018427387904 sequences",
               [&] { zoo::time_decode(model, 1, int64_t{1} << 62); });
}

}  // namespace wkv::test
