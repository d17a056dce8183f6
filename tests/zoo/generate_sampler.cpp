#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "support/data.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/sampler.h"

namespace wkv::zoo {
namespace {

constexpr float kInfiniteLogit = std::numeric_limits<float>::infinity();
using Logits = std::vector<float>;

std::vector<int64_t> draw(Sampler& sampler, const Logits& logits, int count) {
  std::vector<int64_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(sampler.next(logits));
  return tokens;
}

TEST(TokenDistribution, agrees_with_the_published_package) {
  std::ifstream file(test::data("sampling/vectors.json"));
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_EQ(cases.size(), 90);
  // With top_p = 1 the package cuts where its fp32 sum reaches 1; in case 43 rounding keeps the sum below, and the
  // package then keeps the most probable token alone. Ours keeps all, as 1 asks for: 3e-5 away.
  const std::size_t rounded_away = 43;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const nlohmann::json& entry = cases[i];
    const SamplerOptions options{
        .temperature = entry.at("temperature"), .top_p = entry.at("top_p"), .top_k = entry.at("top_k")};
    const std::vector<float> expected = entry.at("probs");
    const float tolerance = i == rounded_away ? 5e-5F : 1e-6F;
    EXPECT_THAT(token_distribution(entry.at("logits").get<Logits>(), options),
                testing::Pointwise(testing::FloatNear(tolerance), expected))
        << "case " << i;
  }
}

// What the published package draws, one token after another, from checkpoints whose tokens are bytes.
class PenaltyTrace : public testing::TestWithParam<std::string> {};

TEST_P(PenaltyTrace, agrees_with_the_published_package) {
  const auto checkpoint = test::shared("checkpoints/" + GetParam());
  if (!std::filesystem::exists(checkpoint)) GTEST_SKIP() << checkpoint << " is not there";
  const nlohmann::json traces =
      nlohmann::json::parse(std::ifstream(test::data("sampling/vectors.json"))).at("penalty_traces");
  const auto trace = std::find_if(traces.begin(), traces.end(),
                                  [&](const auto& t) { return t.at("checkpoint") == checkpoint.stem().string(); });
  ASSERT_NE(trace, traces.end());
  const nlohmann::json& arguments = trace->at("args");
  const std::string whitespace_and_digits = " \t0123456789";
  Sampler sampler({.temperature = arguments.at("temperature"),
                   .top_p = arguments.at("top_p"),
                   .presence_penalty = arguments.at("alpha_presence"),
                   .frequency_penalty = arguments.at("alpha_frequency"),
                   .penalty_decay = arguments.at("alpha_decay")},
                  0, {whitespace_and_digits.begin(), whitespace_and_digits.end()});
  const auto banned = arguments.value("token_ban", std::vector<int64_t>());

  const auto model = load_language_model(checkpoint.string(), {.config = R"({"ln_x_eps": 1e-5})"});
  const std::string prompt = trace->at("prompt");
  std::vector<int64_t> next(prompt.begin(), prompt.end()), drawn;
  models::State state;
  for (int64_t i = 0; i < trace->at("token_count"); ++i) {
    models::Output output = model->forward(at::tensor(next).unsqueeze(0), state);
    state = std::move(output.state);
    const at::Tensor last = output.logits[0][-1].contiguous();
    next = {sampler.next({last.const_data_ptr<float>(), static_cast<std::size_t>(last.numel())}, banned)};
    drawn.push_back(next[0]);
  }
  EXPECT_EQ(drawn, trace->at("tokens").get<std::vector<int64_t>>());
}

INSTANTIATE_TEST_SUITE_P(Published, PenaltyTrace,
                         testing::Values("tiny-rwkv-4v0-660k.pth", "tiny-rwkv-5v1-730k.pth",
                                         "tiny-rwkv-5v2-730k.safetensors"),
                         [](const auto& test_info) { return "case_" + std::to_string(test_info.index); });

TEST(TokenDistribution, top_p_of_1_keeps_every_token) {
  const Logits logits(65536, 0.1F);  // whose fp32 probabilities need not sum to 1
  EXPECT_THAT(token_distribution(logits, {.top_p = 1}), testing::Each(1.F / 65536));
}

TEST(TokenDistribution, the_lowest_temperature_leaves_the_most_probable_token) {
  EXPECT_THAT(token_distribution(Logits(1000, 0.F), {.temperature = 1e-4}), testing::Each(1e-3F));
  EXPECT_THAT(token_distribution(Logits{1, 3, 2}, {.temperature = 1e-4}), testing::ElementsAre(0, 1, 0));
}

TEST(TokenDistribution, minus_infinity_has_no_probability) {
  EXPECT_THAT(token_distribution(Logits{-kInfiniteLogit, 0, 0}, {}), testing::ElementsAre(0, 0.5F, 0.5F));
}

TEST(TokenDistribution, logits_that_are_not_numbers_are_refused) {
  for (const Logits& logits :
       {Logits{0, NAN}, Logits{0, kInfiniteLogit}, Logits{-kInfiniteLogit, -kInfiniteLogit}, Logits{}}) {
    EXPECT_THROW(token_distribution(logits, {}), Error);
    EXPECT_THROW(Sampler({.temperature = 0}, 0).next(logits), Error);
  }
}

TEST(Sampler, options_out_of_range_are_refused) {
  const SamplerOptions bad[] = {{.temperature = -1},
                                {.temperature = INFINITY},
                                {.temperature = NAN},
                                {.top_p = -0.1},
                                {.top_p = 1.1},
                                {.top_p = NAN},
                                {.top_k = -1},
                                {.presence_penalty = NAN},
                                {.frequency_penalty = INFINITY},
                                {.penalty_decay = -0.1},
                                {.penalty_decay = 1.1}};
  for (const SamplerOptions& options : bad) {
    EXPECT_THROW(Sampler(options, 0), Error);
    EXPECT_THROW(token_distribution(Logits{0, 1}, options), Error);
  }
}

TEST(Sampler, temperature_0_takes_the_first_of_the_most_probable) {
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_EQ(Sampler({.temperature = 0}, seed).next(Logits{1, 3, 3, 2}), 1);
}

TEST(Sampler, the_same_seed_draws_the_same_tokens_on_every_machine) {
  Sampler sampler({}, 42);
  // From mt19937_64's bits, which the C++ standard fixes: 0.755, 0.639, 0.752, ... of the cumulative sum.
  EXPECT_THAT(draw(sampler, Logits(10, 0.F), 8), testing::ElementsAre(7, 6, 7, 1, 9, 0, 5, 3));
}

TEST(Sampler, draws_as_often_as_the_distribution_says) {
  const Logits logits{std::log(1.F), std::log(2.F), std::log(7.F)};
  Sampler sampler({}, 1);
  std::vector<int> counts(3);
  for (const int64_t token : draw(sampler, logits, 20000)) ++counts[token];
  EXPECT_NEAR(counts[0], 2000, 200);  // more than four standard deviations
  EXPECT_NEAR(counts[1], 4000, 250);
}

TEST(Sampler, banned_tokens_are_never_drawn) {
  Sampler sampler({}, 0);
  const std::vector<int64_t> banned{0, 2};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sampler.next(Logits{9, 0, 9}, banned), 1);
  EXPECT_THROW(sampler.next(Logits{0, 0, 0}, std::vector<int64_t>{0, 1, 2}), Error);
}

TEST(Sampler, the_presence_penalty_is_subtracted_once) {
  Sampler sampler({.temperature = 0, .presence_penalty = 1.5}, 0);
  EXPECT_THAT(draw(sampler, {3, 2, 1.4F}, 5), testing::ElementsAre(0, 1, 0, 0, 0));
}

TEST(Sampler, the_frequency_penalty_grows_with_every_draw) {
  Sampler sampler({.temperature = 0, .frequency_penalty = 1, .penalty_decay = 1}, 0);
  EXPECT_THAT(draw(sampler, {2.5F, 0, -10}, 5), testing::ElementsAre(0, 0, 0, 1, 0));
}

TEST(Sampler, counts_decay_before_the_drawn_token_is_counted) {
  // Token 0 counts 1, then 1.5, then 1.75: never enough at 1 a count for token 1, 1.9 below.
  Sampler sampler({.temperature = 0, .frequency_penalty = 1, .penalty_decay = 0.5}, 0);
  EXPECT_THAT(draw(sampler, {1.9F, 0}, 4), testing::ElementsAre(0, 0, 0, 0));
  // 1.7 below: the third count is enough; token 1 then counts 1 and token 0 has decayed to 0.875.
  Sampler closer({.temperature = 0, .frequency_penalty = 1, .penalty_decay = 0.5}, 0);
  EXPECT_THAT(draw(closer, {1.7F, 0}, 5), testing::ElementsAre(0, 0, 0, 1, 0));
}

TEST(Sampler, an_uncounted_token_has_the_presence_penalty_alone) {
  const SamplerOptions options{.temperature = 0, .presence_penalty = 1, .frequency_penalty = 1};
  Sampler counting(options, 0);
  EXPECT_THAT(draw(counting, {1.5F, 0}, 2), testing::ElementsAre(0, 1));
  Sampler sampler(options, 0, {0});
  EXPECT_THAT(draw(sampler, {1.5F, 0}, 4), testing::ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace wkv::zoo
