// What is RWKV-6's own: its variants, state tuning, initial values, options.
#include "wkv/models/rwkv6.h"

#include <ATen/Context.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "models/edited_checkpoint.h"
#include "models/initial_values.h"
#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

const LanguageModelRows kRwkv6Rows({
    {"rwkv6", "rwkv6/tiny", 3e-5},
    {"rwkv6", "rwkv6/tiny-h32", 1.2e-5},
    {"rwkv6", "rwkv6/state-tuning", 1.6e-5},
    {"rwkv6", "rwkv6/x060a", 8e-6},
    {"rwkv6", "rwkv6/x060b", 1.2e-5},
});

class RWKV6Published : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string file = test::golden(GetParam() + ".safetensors").string();
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    golden = std::make_unique<GoldenModel>(LanguageModelCase{"rwkv6", GetParam(), 0});
  }
  std::unique_ptr<GoldenModel> golden;
};

TEST_P(RWKV6Published, the_logit_penalty_changes_gradients_as_published) {
  const auto model = golden->load();
  model->loss(golden->tokens(), golden->fixture["in.target"]).backward();
  const auto expected = golden->fixture.with_prefix("grad_l2wrap.");
  ASSERT_FALSE(expected.empty());
  const auto parameters = model->named_parameters();
  for (const auto& [name, gradient] : expected)
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), 5e-5) << name;
}

TEST_P(RWKV6Published, parameter_groups_are_the_published_recipe) {
  EXPECT_EQ(named_groups(*golden->load()), named_groups(golden->description.at("optimizer_groups_weight_decay_0p1")));
}

INSTANTIATE_TEST_SUITE_P(All, RWKV6Published,
                         testing::Values("rwkv6/tiny", "rwkv6/tiny-h32", "rwkv6/state-tuning", "rwkv6/x060a",
                                         "rwkv6/x060b"),
                         [](const auto& test_info) { return "case_" + std::to_string(test_info.index); });

const at::Tensor kTokens = at::arange(12).unsqueeze(0);

TEST(RWKV6StateTuning, starts_every_sequence_from_the_tuned_states) {
  const EditedCheckpoint checkpoint("rwkv6/state-tuning");
  const models::State state = checkpoint.load()->initial_state(2);
  for (int64_t row : {0, 1})
    EXPECT_TRUE(at::equal(state.entries[1].tensor[row], checkpoint.weights.at("blocks.0.att.time_state")));
}

void remove_time_states(EditedCheckpoint& checkpoint) {
  std::erase_if(checkpoint.weights, [](const auto& weight) { return weight.first.ends_with("time_state"); });
}

TEST(RWKV6StateTuning, of_a_plain_checkpoint_starts_from_zeros) {
  EditedCheckpoint checkpoint("rwkv6/state-tuning");
  remove_time_states(checkpoint);
  const auto plain = checkpoint.load(), tuned = checkpoint.load(R"({"train_type": "states"})");
  EXPECT_FALSE(plain->named_parameters().contains("blocks.0.att.time_state"));
  EXPECT_TRUE(at::equal(plain->forward(kTokens).logits, tuned->forward(kTokens).logits));
  const auto groups = tuned->parameter_groups();
  ASSERT_EQ(groups.size(), 1);
  EXPECT_THAT(groups[0].names, testing::ElementsAre("blocks.0.att.time_state", "blocks.1.att.time_state"));
  tuned->loss(kTokens, kTokens).backward();
  EXPECT_GT(tuned->named_parameters()["blocks.0.att.time_state"].grad().abs().max().item<float>(), 0);
}

TEST(RWKV6StateTuning, of_a_checkpoint_that_lacks_one_of_its_states_is_refused) {
  EditedCheckpoint checkpoint("rwkv6/state-tuning");
  checkpoint.weights.erase("blocks.1.att.time_state");
  EXPECT_THROW(checkpoint.load(R"({"train_type": "states"})"), Error);
}

TEST(RWKV6StateTuning, writes_added_states_into_a_converted_checkpoint_and_counts_them) {
  EditedCheckpoint checkpoint("rwkv6/state-tuning");
  remove_time_states(checkpoint);
  const std::string config = R"({"train_type": "states"})";
  const std::string input = checkpoint.write(), output = (checkpoint.folder / "with.safetensors").string();
  zoo::convert(input, output, {.config = config});
  EXPECT_TRUE(zoo::load(output)->named_parameters().contains("blocks.1.att.time_state"));
  EXPECT_EQ(zoo::describe(output).parameters, zoo::describe(input, {.config = config}).parameters);
}

TEST(RWKV6Variants, that_the_configuration_contradicts_are_refused) {
  const EditedCheckpoint checkpoint("rwkv6/state-tuning");
  EXPECT_NO_THROW(checkpoint.load(R"({"version": "6"})"));
  EXPECT_THROW(checkpoint.load(R"({"version": "x060b"})"), Error);
}

TEST(RWKV6Variants, x060c_has_the_names_of_x060b) {
  const EditedCheckpoint checkpoint("rwkv6/x060b");
  EXPECT_EQ(checkpoint.options<models::RWKV6Impl>().variant, models::RWKV6Variant::x060b);
  EXPECT_EQ(checkpoint.options<models::RWKV6Impl>(R"({"version": "x060c"})").variant, models::RWKV6Variant::x060c);
}

TEST(RWKV6Variants, x060c_is_x060b_where_the_decay_factor_is_0) {  // as it scales keys by 1 - factor
  EditedCheckpoint checkpoint("rwkv6/x060b");
  const auto difference = [&] {
    const at::Tensor b = checkpoint.load()->forward(kTokens).logits;
    return relative_error(checkpoint.load(R"({"version": "x060c"})")->forward(kTokens).logits, b);
  };
  EXPECT_GT(difference(), 1e-2);
  for (auto& [name, tensor] : checkpoint.weights)
    if (name.ends_with("att.time_decay")) tensor = at::full_like(tensor, 20);
  EXPECT_LT(difference(), 1e-6);
}

models::RWKV6 initial_rwkv6() {
  at::manual_seed(1);
  return models::RWKV6(models::RWKV6Options{.layers = 12, .width = 128, .head_size = 64, .vocab = 512});
}

TEST(RWKV6Initial, values_are_the_published_ones) {
  const Fixture fixture(test::data("rwkv6/init.safetensors"));
  expect_values(*initial_rwkv6(), fixture.with_prefix("init."));
}

TEST(RWKV6Initial, zeros_are_where_they_are_published) {
  const auto json = nlohmann::json::parse(std::ifstream(test::data("rwkv6/init.json")));
  expect_zeros(*initial_rwkv6(), json.at("zero_tensors"));
}

TEST(RWKV6Initial, random_matrices_are_the_published_ones) {
  const auto json = nlohmann::json::parse(std::ifstream(test::data("rwkv6/init.json")));
  const auto parameters = initial_rwkv6()->named_parameters();
  for (const auto& [name, facts] : json.at("random_example").items()) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    const at::Tensor& matrix = parameters[name];
    EXPECT_EQ(matrix.sizes().vec(), facts.at("shape").get<std::vector<int64_t>>()) << name;
    const double mean = matrix.abs().mean().item<double>();
    EXPECT_NEAR(mean / facts.at("mean_abs").get<double>(), 1, 0.05) << name;
    const at::Tensor values = at::linalg_svdvals(matrix.to(at::kDouble));
    const double tolerance = name.ends_with(".weight") && name != "emb.weight" ? 1e-4 : 0.1;  // else drawn uniformly
    EXPECT_NEAR(values.max().item<double>() / facts.at("sv_max").get<double>(), 1, tolerance) << name;
  }
}

TEST(RWKV6Options, ranks_are_the_published_ones_unless_given) {
  const auto ranks = [](int64_t width, const models::RWKV6Ranks& given) {
    return models::RWKV6Impl({.layers = 1, .width = width, .vocab = 4, .ranks = given}, false).options().ranks;
  };
  EXPECT_EQ(ranks(768, {}), (models::RWKV6Ranks{.mix = 32, .decay = 64, .gate = 64}));
  EXPECT_EQ(ranks(4096, {.decay = 40}), (models::RWKV6Ranks{.mix = 64, .decay = 40, .gate = 64}));
}

TEST(RWKV6Options, that_fit_no_model_are_refused) {
  for (const models::RWKV6Options& options :
       {models::RWKV6Options{.layers = 0}, models::RWKV6Options{.width = 100}, models::RWKV6Options{.vocab = 0},
        models::RWKV6Options{.width = 512, .head_size = 512}, models::RWKV6Options{.ranks = {.decay = -1}},
        models::RWKV6Options{.ln_x_eps = -1}}) {
    EXPECT_THROW(models::RWKV6(options, false), Error);
  }
}

TEST(RWKV6Parameters, of_the_published_sizes_are_counted_right) {
  const auto count = [](const models::RWKV6Options& options) {
    int64_t n = 0;
    for (const auto& p : models::RWKV6Impl(options, false).parameters()) n += p.numel();
    return static_cast<double>(n) * 1e-9;
  };
  EXPECT_NEAR(count({.layers = 24, .width = 2048}), 1.600, 5e-4);
}

}  // namespace
}  // namespace wkv::test
