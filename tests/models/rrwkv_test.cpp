// What is the RRWKV-style model's own: segments and mediums, the interval in files.
#include "wkv/models/rrwkv.h"

#include <ATen/Context.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include <cmath>

#include "models/model_cases.h"
#include "models/parameter_groups.h"
#include "wkv/zoo/state_file.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;
using Weights = std::map<std::string, at::Tensor>;

// Published as [L, B, 11, C], in the order att_x, aa, bb, pp, ffn_x, seg, med, maa, mbb, mpp, ret.
StateTensors rrwkv_state(const at::Tensor& published) {
  StateTensors state;
  for (int64_t layer = 0; layer < published.size(0); ++layer) {
    const at::Tensor rows = published[layer];
    const auto put = [&](const char* name, const at::Tensor& value) { state[name + std::to_string(layer)] = value; };
    put("att_x", rows.select(1, 0));
    put("wkv", rows.slice(1, 1, 4));
    put("ffn_x", rows.select(1, 4));
    put("seg", rows.select(1, 5));
    put("med", rows.select(1, 6));
    put("medium_wkv", rows.slice(1, 7, 10));
    put("ret", rows.select(1, 10));
  }
  return state;
}

StateTensors rrwkv_end_state(const Fixture& fixture) {
  StateTensors state = rrwkv_state(fixture["state.end"]);
  state["pos"] = at::full({fixture["in.idx"].size(0)}, fixture["in.idx"].size(1), at::kLong);
  return state;
}

const LanguageModelRows kRrwkvRows({
    {"rrwkv", "rrwkv/lm_s4", 1e-5, 5e-5, 0, rrwkv_end_state},
    {"rrwkv", "rrwkv/lm_s5", 1e-5, 5e-5, 0, rrwkv_end_state},
    {"rrwkv", "rrwkv/lm_s16_short", 1e-5, 5e-5, 0, rrwkv_end_state},
    {"rrwkv", "rrwkv/lm_s4_fp64", 1e-5, 5e-5, 0, rrwkv_end_state},
});

Weights weights_of(const std::string& fixture) { return Fixture(test::data(fixture)).with_prefix("w."); }

std::shared_ptr<models::RRWKVImpl> load_rrwkv(const Weights& weights, const std::string& config,
                                              const std::map<std::string, std::string>& metadata = {},
                                              std::optional<at::ScalarType> dtype = {}) {
  const ScratchFolder folder;
  zoo::write_safetensors(folder / "model.safetensors", {weights.begin(), weights.end()}, metadata);
  return std::dynamic_pointer_cast<models::RRWKVImpl>(
      zoo::load((folder / "model.safetensors").string(), {.config = config, .dtype = dtype}));
}

std::string interval_config(int64_t interval) { return R"({"interval": )" + std::to_string(interval) + "}"; }

// Two layers of 12 channels and 26 tokens, in fp64.
std::shared_ptr<models::RRWKVImpl> small_rrwkv(int64_t interval) {
  return load_rrwkv(weights_of("rrwkv/lm_s4_fp64.safetensors"), interval_config(interval));
}

at::Tensor some_tokens(int64_t batch, int64_t time) {
  return (at::arange(batch * time).square() * 7 + at::arange(batch * time) * 3).remainder(26).view({batch, time});
}

const at::Tensor& entry_of(const models::State& state, const std::string& name) {
  return std::ranges::find(state.entries, name, &models::State::Entry::name)->tensor;
}

TEST(RRWKV, fp64_logits_are_the_reference_s) {
  const GoldenModel golden({"rrwkv", "rrwkv/lm_s4_fp64", 0});
  EXPECT_LT(absolute_error(golden.load(at::kDouble)->forward(golden.tokens()).logits, golden.logits()), 1e-12);
}

class RRWKVReference : public testing::TestWithParam<std::string> {
 protected:
  GoldenModel golden{{"rrwkv", GetParam(), 0}};
  std::shared_ptr<models::LanguageModel> model = golden.load();
};

TEST_P(RRWKVReference, the_state_half_way_is_the_reference_s) {
  const models::State state = model->forward(golden.tokens().narrow(1, 0, golden.tokens().size(1) / 2)).state;
  for (const auto& [name, expected] : rrwkv_state(golden.fixture["state.half"]))
    EXPECT_LT(relative_error(entry_of(state, name), expected), 2e-5) << name;
}

TEST_P(RRWKVReference, each_medium_and_what_is_read_of_all_are_the_reference_s) {
  const int64_t interval = golden.description.at("config").at("interval");
  for (int64_t time = interval; time < golden.tokens().size(1); ++time) {
    const models::State state = model->forward(golden.tokens().narrow(1, 0, time)).state;
    for (const char* layer : {"0", "1"}) {
      const std::string prefix = std::string("mid.blocks.") + layer;
      const at::Tensor medium = golden.fixture[prefix + ".mediums"].select(1, time / interval - 1);
      EXPECT_LT(absolute_error(entry_of(state, std::string("med") + layer), medium), 1e-5) << time;
      const at::Tensor read = golden.fixture[prefix + ".ret"].select(1, time);
      EXPECT_LT(absolute_error(entry_of(state, std::string("ret") + layer), read), 1e-5) << time;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RRWKVReference, testing::Values("rrwkv/lm_s4", "rrwkv/lm_s5"),
                         [](const auto& test_info) { return test_info.param.substr(6); });

class RRWKVIntervals : public testing::TestWithParam<int64_t> {
 protected:
  std::shared_ptr<models::RRWKVImpl> model = small_rrwkv(GetParam());
  const at::Tensor tokens = some_tokens(2, 60);
};

TEST_P(RRWKVIntervals, token_by_token_is_the_whole) {
  const models::Output whole = model->forward(tokens);
  std::vector<at::Tensor> logits;
  models::State state;
  for (int64_t t = 0; t < tokens.size(1); ++t) {
    models::Output step = model->forward(tokens.narrow(1, t, 1), state);
    logits.push_back(step.logits);
    state = step.state;
  }
  EXPECT_LT(absolute_error(at::cat(logits, 1), whole.logits), 1e-11);
  for (size_t e = 0; e < state.entries.size(); ++e)
    EXPECT_LT(absolute_error(state.entries[e].tensor, whole.state.entries[e].tensor), 1e-11) << state.entries[e].name;
}

TEST_P(RRWKVIntervals, a_later_token_changes_no_bit_of_what_was_before) {
  const at::Tensor before = model->forward(tokens).logits;
  for (int64_t t = 0; t < tokens.size(1); ++t) {
    at::Tensor changed = tokens.clone();
    changed.select(1, t).add_(7).remainder_(26);
    const at::Tensor after = model->forward(changed).logits;
    EXPECT_TRUE(at::equal(after.narrow(1, 0, t), before.narrow(1, 0, t))) << t;
    EXPECT_GT(absolute_error(after.select(1, t), before.select(1, t)), 1e-6) << t;
  }
}

TEST_P(RRWKVIntervals, rows_at_different_positions_go_on_as_each_alone) {
  std::vector<models::State> states;
  for (int64_t row : {0, 1}) states.push_back(model->forward(tokens.narrow(0, row, 1).slice(1, 0, 5 + 3 * row)).state);
  const models::Output together = model->forward(tokens.narrow(1, 10, 40), models::State::cat(states));
  for (int64_t row : {0, 1}) {
    const models::Output alone =
        model->forward(tokens.narrow(0, row, 1).narrow(1, 10, 40), states[static_cast<size_t>(row)]);
    EXPECT_LT(absolute_error(together.logits.narrow(0, row, 1), alone.logits), 1e-11);
    EXPECT_EQ(entry_of(together.state, "pos")[row].item<int64_t>(), 45 + 3 * row);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RRWKVIntervals, testing::Values(1, 3, 7, 50),
                         [](const auto& test_info) { return "of_" + std::to_string(test_info.param); });

// Without token shift and with a memory of no length only mediums carry anything from token to token.
TEST(RRWKV, mediums_reach_back_from_the_next_segment_on) {
  Weights weights = weights_of("rrwkv/lm_s4_fp64.safetensors");
  std::erase_if(weights, [](const auto& item) { return item.first.starts_with("blocks.1."); });
  weights.at("blocks.0.att.time_decay").fill_(6);
  weights.at("blocks.0.att.medium_decay").fill_(-5);
  for (auto& [name, tensor] : weights)
    if (name.find("time_mix") != std::string::npos) tensor.fill_(1);
  const auto model = load_rrwkv(weights, interval_config(4));
  const at::Tensor tokens = some_tokens(1, 40);
  at::Tensor changed = tokens.clone();
  changed[0][1].add_(5).remainder_(26);
  const at::Tensor difference = (model->forward(changed).logits - model->forward(tokens).logits).abs().amax({0, 2});
  EXPECT_LT(difference[3].item<double>(), 1e-9);
  EXPECT_GT(difference[4].item<double>(), 1e-4);
  EXPECT_GT(difference[39].item<double>(), 1e-5);
}

TEST(RRWKV, without_an_interval_computes_rwkv4) {
  const auto model = small_rrwkv(0);
  Weights base = weights_of("rrwkv/lm_s4_fp64.safetensors");
  std::erase_if(base, [](const auto& item) {
    return item.first.find("medium_") != std::string::npos || item.first.find("excite_") != std::string::npos;
  });
  const ScratchFolder folder;
  zoo::write_safetensors(folder / "base.safetensors", {base.begin(), base.end()});
  const auto rwkv4 = zoo::load_language_model((folder / "base.safetensors").string());
  EXPECT_EQ(rwkv4->family(), "rwkv4");
  const at::Tensor tokens = some_tokens(2, 30);
  EXPECT_TRUE(at::equal(model->forward(tokens).logits, rwkv4->forward(tokens).logits));
}

TEST(RRWKV, the_sum_over_a_segment_is_fp32_in_half_precision) {
  const auto model = load_rrwkv(weights_of("rrwkv/lm_s4.safetensors"), interval_config(4), {}, at::kBFloat16);
  for (const auto& state : {model->initial_state(1), model->forward(some_tokens(1, 6)).state}) {
    for (const char* wide : {"seg0", "wkv1", "medium_wkv1"})
      EXPECT_EQ(entry_of(state, wide).scalar_type(), at::kFloat) << wide;
    for (const char* narrow : {"att_x0", "med1", "ret1"})
      EXPECT_EQ(entry_of(state, narrow).scalar_type(), at::kBFloat16) << narrow;
  }
}

TEST(RRWKV, a_saved_state_goes_on_at_its_position) {
  const auto model = small_rrwkv(4);
  const at::Tensor tokens = some_tokens(2, 20);
  const models::State state = model->forward(tokens.narrow(1, 0, 6)).state;
  const ScratchFolder folder;
  zoo::save_state(folder / "state", state);
  const at::Tensor rest = tokens.slice(1, 6);
  EXPECT_TRUE(
      at::equal(model->forward(rest, zoo::load_state(folder / "state")).logits, model->forward(rest, state).logits));
}

TEST(RRWKV, the_loss_has_no_logit_penalty_unless_asked_for) {
  const auto model = small_rrwkv(4);
  const at::Tensor tokens = some_tokens(2, 10), head = model->named_parameters()["head.weight"];
  const auto gradient = [&](std::optional<double> penalty) {
    head.mutable_grad() = at::Tensor();
    model->loss(tokens, tokens, penalty).backward();
    return head.grad().clone();
  };
  const at::Tensor plain = gradient(0.0);
  EXPECT_TRUE(at::equal(gradient({}), plain));
  EXPECT_FALSE(at::equal(gradient(1e-4), plain));
}

TEST(RRWKV, a_negative_position_is_refused) {
  const auto model = small_rrwkv(4);
  models::State state = model->initial_state(1);
  state.entries.back().tensor.fill_(-1);
  EXPECT_THROW(model->forward(some_tokens(1, 1), state), Error);
}

TEST(RRWKVFile, says_the_interval_in_its_metadata_or_a_tensor_or_the_configuration) {
  Weights weights = weights_of("rrwkv/lm_s4.safetensors");
  EXPECT_EQ(load_rrwkv(weights, interval_config(7))->options().interval, 7);
  EXPECT_EQ(load_rrwkv(weights, "{}", {{"rrwkv.interval", "8"}})->options().interval, 8);
  weights["rrwkv_interval"] = at::scalar_tensor(9, at::kLong);
  const auto model = load_rrwkv(weights, "{}");
  EXPECT_EQ(model->options().interval, 9);
  EXPECT_EQ(load_rrwkv(weights, interval_config(9), {{"rrwkv.interval", "9"}})->options(), model->options());
}

TEST(RRWKVFile, that_does_not_say_the_interval_or_contradicts_itself_is_refused) {
  struct Case {
    std::string config;
    std::map<std::string, std::string> metadata;
    at::Tensor tensor;
    std::string message;
  };
  const at::Tensor nine = at::scalar_tensor(9, at::kLong);
  const std::vector<Case> cases = {
      {"{}", {}, {}, "doesn't say its interval"},
      {interval_config(8),
       {{"rrwkv.interval", "9"}},
       {},
       "interval is 8 in the configuration, but 9 in the file's metadata"},
      {interval_config(8), {}, nine, "interval is 8 in the configuration, but 9 in the file's tensor"},
      {"{}", {{"rrwkv.interval", "8"}}, nine, "interval is 8 in the file's metadata, but 9 in the file's tensor"},
      {interval_config(-3), {}, {}, "must be an integer from 0"},
      {R"({"interval": 2.5})", {}, {}, "must be an integer from 0"},
      {R"({"interval": "4"})", {}, {}, "interval must be a number"},
      {"{}", {{"rrwkv.interval", "4 tokens"}}, {}, "rrwkv.interval is no interval"},
      {"{}", {{"rrwkv.interval", "99999999999999999999"}}, {}, "rrwkv.interval is no interval"},
      {"{}", {}, at::scalar_tensor(4, at::kFloat), "rrwkv_interval must be one int64"},
      {"{}", {}, at::ones({2}, at::kLong), "rrwkv_interval must be one int64"},
      {"{}", {}, -nine, "rrwkv_interval must be one int64"},
      {R"({"interval": 4, "reduction": 8})", {}, {}, "reduction is 8, but the tensors say 16 / 4"},
      {R"({"interval": 4, "excite_width": 8})", {}, {}, "excite_width is 8"},
      {R"({"interval": 4, "n_layer": 3})", {}, {}, "n_layer is 3"},
  };
  for (const Case& c : cases) {
    Weights weights = weights_of("rrwkv/lm_s4.safetensors");
    if (c.tensor.defined()) weights["rrwkv_interval"] = c.tensor;
    try {
      load_rrwkv(weights, c.config, c.metadata);
      FAIL() << "not refused: " << c.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c.message));
    }
  }
}

TEST(RRWKVFile, its_own_configuration_describes_it) {
  const Weights weights = weights_of("rrwkv/lm_s5.safetensors");
  const auto model = load_rrwkv(weights, R"({"interval": 5, "reduction": 8})");
  EXPECT_EQ(load_rrwkv(weights, model->config_json())->options(), model->options());
  EXPECT_EQ(
      model->options(),
      (models::RRWKVOptions{.base = {.layers = 3, .width = 24, .attention_width = 24, .ffn_width = 96, .vocab = 33},
                            .interval = 5,
                            .excite_width = 3}));
}

TEST(RRWKVInitial, mediums_begin_with_the_values_of_the_definition) {
  const auto parameters =
      models::RRWKV(models::RRWKVOptions{.base = {.layers = 3, .width = 32, .vocab = 50}})->named_parameters();
  for (const char* zero : {"att.medium_mix_k", "att.medium_mix_v", "att.medium_mix_r", "att.medium_out",
                           "att.medium_first", "att.excite_up.weight", "ffn.medium_mix_k", "ffn.medium_mix_r"})
    EXPECT_EQ(parameters[std::string("blocks.1.") + zero].count_nonzero().item<int64_t>(), 0) << zero;
  const at::Tensor& decay = parameters["blocks.1.att.medium_decay"];
  for (int64_t h = 0; h < 32; ++h)
    EXPECT_NEAR(decay[h].item<double>(), -6 + 6 * std::pow(static_cast<double>(h) / 31, 0.7 + 1.3 * 0.5), 1e-5) << h;
  const at::Tensor& down = parameters["blocks.1.att.excite_down.weight"];
  EXPECT_EQ(down.sizes(), at::IntArrayRef({2, 32}));
  EXPECT_LT(absolute_error(down.mm(down.t()), at::eye(2)), 1e-5);
}

TEST(RRWKVInitial, parameter_groups_are_rwkv4_s_with_mediums_beside_tokens) {
  const NamedGroups groups =
      named_groups(*models::RRWKV(models::RRWKVOptions{.base = {.layers = 1, .width = 8, .vocab = 5}}, false));
  const std::string att = "blocks.0.att.";
  EXPECT_EQ(groups.at(att + "medium_decay"), groups.at(att + "time_decay"));
  EXPECT_EQ(groups.at(att + "medium_first"), groups.at(att + "time_first"));
  EXPECT_EQ(groups.at(att + "medium_mix_v"), groups.at(att + "time_mix_v"));
  EXPECT_EQ(groups.at(att + "medium_out"), std::pair(1.0, false));
  EXPECT_EQ(groups.at(att + "excite_up.weight"), groups.at(att + "key.weight"));
}

TEST(RRWKVOptions, that_fit_no_model_are_refused) {
  for (const models::RRWKVOptions& options :
       {models::RRWKVOptions{.interval = -1}, models::RRWKVOptions{.interval = int64_t{1} << 62},
        models::RRWKVOptions{.excite_width = -1}, models::RRWKVOptions{.base = {.attention_width = 96}},
        models::RRWKVOptions{.base = {.pre_ffn = true}}, models::RRWKVOptions{.base = {.tiny_att_dim = 8}},
        models::RRWKVOptions{.base = {.head_qk = 8}}})
    EXPECT_THROW(models::RRWKV(options, false), Error);
}

TEST(RRWKVParameters, add_little_to_the_published_size) {
  const models::RRWKV model(models::RRWKVOptions{}, false);
  int64_t count = 0;
  for (const auto& parameter : model->parameters()) count += parameter.numel();
  EXPECT_EQ(count, 169342464 + 958464);
}

}  // namespace
}  // namespace wkv::test
