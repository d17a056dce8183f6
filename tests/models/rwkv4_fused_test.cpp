// RWKV-4 without gradients decodes by a fused step; with gradients by separate operators: both compute the same.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "models/fused_model.h"
#include "wkv/models/rwkv4.h"

namespace wkv::test::rwkv4_fused {
namespace {

const models::RWKV4Options kPlain = {.width = 128};
const std::vector<models::RWKV4Options> kOptions = {
    kPlain,
    {.width = 64, .ffn_width = 192},
    // What the step is not for, and the operators serve.
    {.width = 48},
    {.width = 64, .ffn_width = 100},
    {.width = 64, .pre_ffn = true},
};

at::Tensor tokens_of(int64_t rows) {
  return at::randint(77, {rows, 1}, at::make_generator<at::CPUGeneratorImpl>(2), at::kLong);
}

// After three tokens: the hidden values of each and the state.
std::pair<at::Tensor, models::State> three_steps(models::LanguageModel& model, const at::Tensor& tokens) {
  std::vector<at::Tensor> hidden;
  models::State state;
  for (int i = 0; i < 3; ++i) {
    auto [values, next] = model.hidden((tokens + i).remainder(77), state);
    hidden.push_back(values.detach());
    state = next;
    for (auto& entry : state.entries) entry.tensor = entry.tensor.detach();
  }
  return {at::cat(hidden), state};
}
std::pair<at::Tensor, models::State> fused_steps(models::LanguageModel& model, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  return three_steps(model, tokens);
}

TEST(RWKV4Fused, computes_what_the_operators_compute) {
  for (const auto& options : kOptions) {
    auto model = busy_model<models::RWKV4>(options);
    for (const int64_t rows : {1, 2, 3, 8, 9, 33}) {
      SCOPED_TRACE(testing::Message() << options.width << ", " << rows << " rows");
      const auto [hidden, state] = fused_steps(*model, tokens_of(rows));
      const auto [expected_hidden, expected_state] = three_steps(*model, tokens_of(rows));
      EXPECT_LE(largest_error(hidden, expected_hidden), 2e-5);
      for (size_t i = 0; i < state.entries.size(); ++i) {
        EXPECT_LE(largest_error(state.entries[i].tensor, expected_state.entries[i].tensor), 2e-5)
            << state.entries[i].name;
      }
    }
  }
}

TEST(RWKV4Fused, half_precision_is_at_least_as_close_to_full_precision) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    auto half = busy_model<models::RWKV4>(kPlain, dtype), full = busy_model<models::RWKV4>(kPlain, dtype);
    for (auto& parameter : full->parameters()) parameter.set_data(parameter.to(at::kFloat));
    const at::Tensor exact = three_steps(*full, tokens_of(2)).first;
    expect_as_close(fused_steps(*half, tokens_of(2)).first, three_steps(*half, tokens_of(2)).first, exact);
  }
}

TEST(RWKV4Fused, a_row_has_the_same_bits_alone_and_among_others_and_with_any_number_of_threads) {
  auto model = busy_model<models::RWKV4>(kPlain);
  const at::Tensor tokens = tokens_of(5), together = fused_steps(*model, tokens).first.view({3, 5, -1});
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 3, 7}) {
    at::set_num_threads(count);
    for (int64_t row = 0; row < 5; ++row) {
      const at::Tensor alone = fused_steps(*model, tokens.narrow(0, row, 1)).first.view({3, -1});
      EXPECT_TRUE(at::equal(alone, together.select(1, row)));
    }
  }
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace wkv::test::rwkv4_fused
