// What is the multi-temporal RWKV's own: perspectives, its recipe, options.
#include "wkv/models/multi_temporal_rwkv.h"

#include <ATen/Context.h>

#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

// Published as <att|ffn|ffnPre>.<layer>.<xx|aa|bb|pp> [B, P, C].
StateTensors perspective_state(const std::map<std::string, at::Tensor>& published) {
  StateTensors state;
  for (const auto& [name, tensor] : published) {
    const std::string part = name.substr(0, name.find('.'));
    const std::string layer = name.substr(part.size() + 1, name.rfind('.') - part.size() - 1);
    if (name.ends_with(".xx")) state[(part == "ffnPre" ? "ffn_pre" : part) + "_x" + layer] = tensor;
    if (!name.ends_with(".aa")) continue;
    const std::string prefix = name.substr(0, name.size() - 2);
    state["wkv" + layer] = at::stack({tensor, published.at(prefix + "bb"), published.at(prefix + "pp")}, 2);
  }
  return state;
}
StateTensors final_perspective_state(const Fixture& fixture) {
  return perspective_state(fixture.with_prefix("state.end."));
}

const LanguageModelRows kMultiTemporalRows({
    {"multi_temporal_rwkv", "multi_temporal_rwkv/lm_p4", 1e-5, 5e-5, 1e-4, final_perspective_state},
    {"multi_temporal_rwkv", "multi_temporal_rwkv/lm_p2_l3", 1e-5, 5e-5, 1e-4, final_perspective_state},
    {"multi_temporal_rwkv", "multi_temporal_rwkv/lm_p3_ffnpre", 1e-5, 5e-5, 1e-4, final_perspective_state},
});

class MultiTemporalPublished : public testing::TestWithParam<std::string> {
 protected:
  GoldenModel golden{{"multi_temporal_rwkv", GetParam(), 0}};
};

TEST_P(MultiTemporalPublished, gradients_without_the_logit_penalty_are_the_published_ones) {
  const auto model = golden.load();
  model->loss(golden.tokens(), golden.fixture["in.targets"], 0.0).backward();
  const auto expected = golden.fixture.with_prefix("grad_ce.");
  const auto parameters = model->named_parameters();
  ASSERT_EQ(expected.size(), parameters.size());
  for (const auto& [name, gradient] : expected)
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), 5e-5) << name;
}

TEST_P(MultiTemporalPublished, the_state_half_way_is_the_published_one) {
  const int64_t half = golden.tokens().size(1) / 2;
  const models::State state = golden.load()->forward(golden.tokens().narrow(1, 0, half)).state;
  const StateTensors expected = perspective_state(golden.fixture.with_prefix("state.half."));
  ASSERT_EQ(state.entries.size(), expected.size());
  for (const auto& [name, tensor] : state.entries) EXPECT_LT(relative_error(tensor, expected.at(name)), 2e-5) << name;
}

INSTANTIATE_TEST_SUITE_P(All, MultiTemporalPublished,
                         testing::Values("multi_temporal_rwkv/lm_p4", "multi_temporal_rwkv/lm_p2_l3",
                                         "multi_temporal_rwkv/lm_p3_ffnpre"),
                         [](const auto& test_info) { return "case_" + std::to_string(test_info.index); });

models::MultiTemporalRWKV small_model(int64_t perspectives) {
  at::manual_seed(1);
  return models::MultiTemporalRWKV(
      models::MultiTemporalRWKVOptions{.base = {.layers = 2, .width = 16, .vocab = 40}, .perspectives = perspectives});
}

TEST(MultiTemporal, all_parameters_learn_at_one_rate_without_decay) {
  const auto model = small_model(2);
  const NamedGroups groups = named_groups(*model);
  EXPECT_EQ(groups.size(), model->named_parameters().size());
  for (const auto& [name, group] : groups) EXPECT_EQ(group, (std::pair{1.0, false})) << name;
}

TEST(MultiTemporal, a_single_perspective_is_rwkv4) {
  auto model = small_model(1);
  models::RWKV4 base(models::RWKV4Options{.layers = 2, .width = 16, .vocab = 40}, false);
  const at::NoGradGuard no_grad;
  const auto source = model->named_parameters();
  for (auto& parameter : base->named_parameters())
    parameter.value().copy_(source[parameter.key()].view_as(parameter.value()));
  const at::Tensor tokens = at::arange(20).view({2, 10});
  EXPECT_LT(absolute_error(model->forward(tokens).logits, base->forward(tokens).logits), 1e-6);
}

TEST(MultiTemporal, a_new_models_perspectives_are_equal) {
  const auto parameters = small_model(3)->named_parameters();
  const at::Tensor& mix = parameters["blocks.1.att.time_mix_v"];
  EXPECT_EQ(mix.sizes(), at::IntArrayRef({3, 1, 1, 16}));
  EXPECT_TRUE(at::equal(mix[0], mix[2]));
  EXPECT_NEAR(mix[1].flatten()[4].item<double>(), std::pow(4.0 / 16, 0.5) + 0.3, 1e-6);
}

TEST(MultiTemporal, options_that_fit_no_model_are_refused) {
  for (const models::MultiTemporalRWKVOptions& options :
       {models::MultiTemporalRWKVOptions{.perspectives = 0}, models::MultiTemporalRWKVOptions{.base = {.layers = 0}},
        models::MultiTemporalRWKVOptions{.base = {.head_qk = 8}},
        models::MultiTemporalRWKVOptions{.base = {.tiny_att_dim = 8}}}) {
    EXPECT_THROW(models::MultiTemporalRWKV(options, false), Error);
  }
}

TEST(MultiTemporal, a_configuration_that_contradicts_the_tensors_is_refused) {
  const ScratchFolder folder;
  const auto weights = Fixture(test::data("multi_temporal_rwkv/lm_p4.safetensors")).with_prefix("w.");
  const std::string path = (folder / "model.safetensors").string();
  zoo::write_safetensors(path, {weights.begin(), weights.end()});
  const auto model = zoo::load(path);
  EXPECT_NO_THROW(zoo::load(path, {.config = model->config_json()}));
  for (const char* config : {R"({"n_persp": 3})", R"({"model_type": "RWKV-ffnPre"})", R"({"n_layer": 3})"})
    EXPECT_THROW(zoo::load(path, {.config = config}), Error) << config;
}

}  // namespace
}  // namespace wkv::test
