// RWKV-7 without gradients runs on fused kernels; with gradients on separate operators: both compute the same.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "models/fused_model.h"
#include "wkv/models/rwkv7.h"

namespace wkv::test::rwkv7_fused {
namespace {

const models::RWKV7Options kHeads64 = {.width = 128, .head_size = 64};
const std::vector<models::RWKV7Options> kOptions = {
    kHeads64,
    {.width = 64, .head_size = 32},
    {.width = 192, .head_size = 96, .ffn_width = 320, .ranks = {.decay = 5, .in_context_rate = 70, .gate = 130}},
    {.width = 256, .head_size = 256, .ln_x_eps = 1e-5},
    {.width = 128, .head_size = 64, .first_value_residual = false, .block_bias = true, .time_state = true},
};
// What the fused kernels are not for, and the operators serve.
const std::vector<models::RWKV7Options> kOtherOptions = {
    {.width = 48, .head_size = 16}, {.width = 96, .head_size = 48}, {.width = 64, .head_size = 32, .ffn_width = 100}};

struct Result {
  at::Tensor hidden;
  models::State state;
};
Result with_gradients(models::LanguageModel& model, const at::Tensor& tokens, const models::State& state) {
  auto [hidden, next] = model.hidden(tokens, state);
  EXPECT_TRUE(hidden.requires_grad());
  return {hidden.detach(), next};
}
Result without_gradients(models::LanguageModel& model, const at::Tensor& tokens, const models::State& state) {
  const at::NoGradGuard no_grad;
  auto [hidden, next] = model.hidden(tokens, state);
  return {hidden, next};
}
void expect_same(const Result& actual, const Result& expected, double tolerance) {
  EXPECT_EQ(actual.hidden.sizes(), expected.hidden.sizes());
  EXPECT_EQ(actual.hidden.scalar_type(), expected.hidden.scalar_type());
  EXPECT_LE(largest_error(actual.hidden, expected.hidden), tolerance);
  for (size_t i = 0; i < expected.state.entries.size(); ++i) {
    const auto& [name, tensor] = expected.state.entries[i];
    EXPECT_EQ(actual.state.entries[i].tensor.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_LE(largest_error(actual.state.entries[i].tensor, tensor), tolerance) << name;
  }
}

at::Tensor some_tokens(int64_t rows, int64_t length) {
  return at::randint(77, {rows, length}, at::make_generator<at::CPUGeneratorImpl>(2), at::kLong);
}
models::State detached(models::State state) {
  for (auto& entry : state.entries) entry.tensor = entry.tensor.detach();
  return state;
}

TEST(RWKV7Fused, computes_what_the_operators_compute) {
  for (const auto* list : {&kOptions, &kOtherOptions}) {
    for (const auto& options : *list) {
      auto model = busy_model<models::RWKV7>(options);
      for (const auto& [rows, length] : {std::pair{1, 1}, {1, 2}, {1, 50}, {2, 1}, {3, 17}, {8, 1}, {9, 1}, {33, 1}}) {
        SCOPED_TRACE(testing::Message() << options.width << '/' << options.head_size << ' ' << rows << 'x' << length);
        const models::State before = detached(with_gradients(*model, some_tokens(rows, 5), {}).state);
        const at::Tensor tokens = some_tokens(rows, length);
        for (const models::State& state : {models::State(), before}) {
          expect_same(without_gradients(*model, tokens, state), with_gradients(*model, tokens, state), 2e-5);
        }
      }
    }
  }
}

TEST(RWKV7Fused, half_precision_is_at_least_as_close_to_full_precision) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    auto half = busy_model<models::RWKV7>(kHeads64, dtype), full = busy_model<models::RWKV7>(kHeads64, dtype);
    for (auto& parameter : full->parameters()) parameter.set_data(parameter.to(at::kFloat));
    for (const int64_t length : {1, 40}) {
      const at::Tensor tokens = some_tokens(2, length);
      const at::Tensor exact = with_gradients(*full, tokens, {}).hidden;
      SCOPED_TRACE(testing::Message() << dtype << ' ' << length);
      expect_as_close(without_gradients(*half, tokens, {}).hidden, with_gradients(*half, tokens, {}).hidden, exact);
    }
  }
}

TEST(RWKV7Fused, a_given_state_is_not_written_to) {
  auto model = busy_model<models::RWKV7>(kHeads64);
  for (const int64_t length : {1, 7}) {
    const models::State given = without_gradients(*model, some_tokens(2, 3), {}).state;
    models::State copy = given;
    for (auto& entry : copy.entries) entry.tensor = entry.tensor.clone();
    without_gradients(*model, some_tokens(2, length), given);
    for (size_t i = 0; i < given.entries.size(); ++i) {
      EXPECT_TRUE(at::equal(given.entries[i].tensor, copy.entries[i].tensor));
    }
  }
}

TEST(RWKV7Fused, a_row_has_the_same_bits_alone_and_among_others_and_with_any_number_of_threads) {
  auto model = busy_model<models::RWKV7>(kHeads64);
  const at::Tensor tokens = some_tokens(7, 1);
  const Result together = without_gradients(*model, tokens, {});
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 3, 7}) {
    at::set_num_threads(count);
    for (int64_t row = 0; row < 7; ++row) {
      EXPECT_TRUE(at::equal(without_gradients(*model, tokens.narrow(0, row, 1), {}).hidden[0], together.hidden[row]));
    }
  }
  at::set_num_threads(threads);
}

TEST(RWKV7Fused, rows_step_the_slots_that_they_name) {
  const at::NoGradGuard no_grad;
  auto model = busy_model<models::RWKV7>(kHeads64);
  models::State pool = model->initial_state(5);
  const at::Tensor tokens = some_tokens(3, 1).flatten(), slots = at::tensor({4, 0, 2}, at::kLong);
  model->decode(tokens, pool, slots);
  for (int64_t i = 0; i < 3; ++i) {
    const Result alone = without_gradients(*model, tokens[i].view({1, 1}), {});
    for (size_t entry = 0; entry < pool.entries.size(); ++entry) {
      EXPECT_TRUE(
          at::equal(pool.entries[entry].tensor[slots[i].item<int64_t>()], alone.state.entries[entry].tensor[0]));
    }
  }
  for (const auto& entry : pool.entries) {
    for (const int64_t idle : {1, 3}) EXPECT_EQ(entry.tensor[idle].abs().max().item<float>(), 0) << entry.name;
  }
}

TEST(RWKV7Fused, nan_reaches_the_outputs) {
  auto model = busy_model<models::RWKV7>(kHeads64);
  const at::Tensor tokens = some_tokens(1, 3);
  {
    const at::NoGradGuard no_grad;
    model->named_parameters()["blocks.1.ffn.key.weight"][5][7].fill_(NAN);
  }
  EXPECT_TRUE(without_gradients(*model, tokens, {}).hidden.isnan().any().item<bool>());
  EXPECT_TRUE(without_gradients(*model, tokens.narrow(1, 0, 1), {}).hidden.isnan().any().item<bool>());
}

}  // namespace
}  // namespace wkv::test::rwkv7_fused
