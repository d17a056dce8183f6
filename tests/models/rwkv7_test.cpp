// What is RWKV-7's own: initial values, rank rules, options.
#include "wkv/models/rwkv7.h"

#include <ATen/Context.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include <fstream>

#include "models/edited_checkpoint.h"
#include "models/initial_values.h"
#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

const LanguageModelRows kRwkv7Rows({
    {"rwkv7", "rwkv7/tiny", 1.3e-5},
    {"rwkv7", "rwkv7/tiny-h32", 1.2e-5},
    {"rwkv7", "rwkv7/tiny-h64", 8e-6},
});

class RWKV7Published : public testing::Test {
 protected:
  GoldenModel golden{{"rwkv7", "rwkv7/tiny", 0}};
};

TEST_F(RWKV7Published, the_logit_penalty_changes_gradients_as_published) {
  const auto model = golden.load();
  model->loss(golden.tokens(), golden.fixture["in.target"]).backward();
  const auto expected = golden.fixture.with_prefix("grad_l2wrap.");
  ASSERT_FALSE(expected.empty());
  const auto parameters = model->named_parameters();
  for (const auto& [name, gradient] : expected)
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), 5e-5) << name;
}

TEST_F(RWKV7Published, parameter_groups_are_the_published_recipe) {
  EXPECT_EQ(named_groups(*golden.load()), named_groups(golden.description.at("optimizer_groups_weight_decay_0p1")));
}

models::RWKV7 initial_model() {
  at::manual_seed(1);
  return models::RWKV7(models::RWKV7Options{
      .layers = 12,
      .width = 128,
      .head_size = 64,
      .vocab = 512,
      .ranks = {.decay = 32, .in_context_rate = 32, .value_residual = 32, .gate = 32},
  });
}

TEST(RWKV7Initial, values_are_the_published_ones) {
  const Fixture fixture(test::data("rwkv7/init.safetensors"));
  expect_values(*initial_model(), fixture.with_prefix("init."));
}

TEST(RWKV7Initial, zeros_are_where_they_are_published) {
  const auto json = nlohmann::json::parse(std::ifstream(test::data("rwkv7/init.json")));
  expect_zeros(*initial_model(), json.at("zero_tensors"));
}

TEST(RWKV7Initial, random_matrices_have_the_published_singular_values) {
  const auto json = nlohmann::json::parse(std::ifstream(test::data("rwkv7/init.json")));
  const auto parameters = initial_model()->named_parameters();
  for (const auto& [name, facts] : json.at("random_example").items()) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    const at::Tensor& matrix = parameters[name];
    EXPECT_EQ(matrix.sizes().vec(), facts.at("shape").get<std::vector<int64_t>>()) << name;
    const at::Tensor values = at::linalg_svdvals(matrix.to(at::kDouble));
    const double tolerance = name == "emb.weight" ? 0.05 : 1e-4;  // the embedding is drawn uniformly, not orthogonal
    EXPECT_NEAR(values.max().item<double>() / facts.at("sv_max").get<double>(), 1, tolerance) << name;
    EXPECT_NEAR(values.min().item<double>() / facts.at("sv_min").get<double>(), 1, tolerance) << name;
  }
}

TEST(RWKV7StateTuning, starts_from_zeros_that_a_checkpoint_may_lack) {
  EditedCheckpoint checkpoint("rwkv7/tiny");
  const at::Tensor tokens = at::arange(12).unsqueeze(0);
  const auto plain = checkpoint.load(), tuned = checkpoint.load(R"({"train_type": "states"})");
  EXPECT_TRUE(at::equal(plain->forward(tokens).logits, tuned->forward(tokens).logits));
  ASSERT_EQ(tuned->parameter_groups().size(), 1);
  EXPECT_EQ(tuned->parameter_groups()[0].names.front(), "blocks.0.att.time_state");

  const at::Tensor state = tuned->forward(tokens).state.entries[1].tensor[0].detach();
  for (const auto& parameter : tuned->named_parameters())
    if (parameter.key().ends_with("time_state")) checkpoint.weights[parameter.key()] = state;
  EXPECT_TRUE(at::equal(checkpoint.load()->initial_state(1).entries[1].tensor[0], state));
}

TEST(RWKV7Options, ranks_follow_the_published_rule_unless_given) {
  const models::RWKV7 model(models::RWKV7Options{.layers = 1, .width = 768, .vocab = 4, .ranks = {.gate = 40}}, false);
  EXPECT_EQ(model->options().ranks,
            (models::RWKV7Ranks{.decay = 64, .in_context_rate = 64, .value_residual = 32, .gate = 40}));
  EXPECT_EQ(model->options().ffn_width, 4 * 768);
}

TEST(RWKV7Options, that_fit_no_model_are_refused) {
  for (const models::RWKV7Options& options :
       {models::RWKV7Options{.layers = 0}, models::RWKV7Options{.width = 100}, models::RWKV7Options{.vocab = 0},
        models::RWKV7Options{.width = 512, .head_size = 512}, models::RWKV7Options{.ranks = {.decay = -1}}}) {
    EXPECT_THROW(models::RWKV7(options, false), Error);
  }
}

TEST(RWKV7Parameters, of_the_published_sizes_are_counted_right) {
  const auto count = [](const models::RWKV7Options& options) {
    int64_t n = 0;
    for (const auto& p : models::RWKV7Impl(options, false).parameters()) n += p.numel();
    return static_cast<double>(n) * 1e-9;
  };
  EXPECT_NEAR(count({.layers = 12, .width = 768, .ranks = {64, 64, 32, 128}}), 0.191, 5e-4);
  EXPECT_NEAR(count({.layers = 24, .width = 1024, .ranks = {64, 64, 32, 128}}), 0.451, 5e-4);
  EXPECT_NEAR(count({.layers = 24, .width = 2048, .ranks = {96, 96, 64, 256}}), 1.528, 5e-4);
}

}  // namespace
}  // namespace wkv::test
