// What is BASED's own: mixers, decoding, tied and wrapped names, configurations, sizes, initial values.
#include "wkv/models/based.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "based/blocks.h"
#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

// A state of upstream's features [..., 1 + d + d^2] as the distinct ones.
at::Tensor distinct_features(const at::Tensor& full) {
  int64_t d = 1;
  while (1 + d + d * d < full.size(-1)) ++d;
  std::vector<at::Tensor> columns;
  for (int64_t feature = 0; feature <= d; ++feature) columns.push_back(full.select(-1, feature));
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = i; j < d; ++j) columns.push_back(full.select(-1, 1 + d + i * d + j));
  return at::stack(columns, -1);
}

// What upstream keeps after `time` tokens, under our names, for a window of R rows.
StateTensors based_state_after(const Fixture& fixture, int64_t time, int64_t R) {
  StateTensors state;
  for (const auto& [name, tensor] : fixture.with_prefix("state.after_" + std::to_string(time) + ".layer")) {
    const size_t dot = name.find('.');
    const std::string layer = name.substr(0, dot), kind = name.substr(dot + 1);
    if (kind == "conv") state["conv" + layer] = tensor;
    if (kind == "k_state") state["k" + layer] = distinct_features(tensor).squeeze(2).squeeze(2);
    if (kind == "kv_state") state["kv" + layer] = distinct_features(tensor).squeeze(2).transpose(2, 3);
    if (kind == "kv_cache") {
      const at::Tensor padded = at::cat({at::zeros_like(tensor.slice(1, 0, 1)).repeat({1, R, 1, 1, 1}), tensor}, 1);
      const at::Tensor newest = padded.slice(1, padded.size(1) - R);
      state["window_k" + layer] = newest.select(2, 0);
      state["window_v" + layer] = newest.select(2, 1);
    }
  }
  state["position"] = at::full({fixture["in.input_ids"].size(0)}, time, at::kLong);
  return state;
}
template <int64_t R>
StateTensors based_state(const Fixture& fixture) {
  return based_state_after(fixture, fixture["in.input_ids"].size(1), R);
}

const std::vector<LanguageModelCase> kBasedCases = {
    {.family = "based", .fixture = "based/tiny_f16_w16", .logit_error = 4e-5, .state = based_state<9>},
    {.family = "based", .fixture = "based/tiny_f8_w6", .logit_error = 4e-5, .state = based_state<4>},
};
const LanguageModelRows kBasedRows(kBasedCases);

// --- decoding ---

class BasedPublished : public testing::TestWithParam<LanguageModelCase> {
 protected:
  void SetUp() override {
    const auto file = test::golden(GetParam().fixture + ".safetensors");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    golden = std::make_unique<GoldenModel>(GetParam());
    model = golden->load();
  }
  std::unique_ptr<GoldenModel> golden;
  std::shared_ptr<models::LanguageModel> model;
  const at::NoGradGuard no_grad;
};

TEST_P(BasedPublished, decoding_after_a_prompt_gives_the_published_logits_and_states) {
  const auto prompt = golden->description.at("prefill").get<int64_t>();
  const auto window = golden->description["config"]["alt_mixer_2"]["window_size"].get<int64_t>();
  models::Output output = model->forward(golden->tokens().slice(1, 0, prompt));
  const auto check_state = [&](int64_t time) {
    const StateTensors expected = based_state_after(golden->fixture, time, window / 2 + 1);
    for (const auto& [name, tensor] : output.state.entries)
      EXPECT_LT(relative_error(tensor, expected.at(name)), 2e-5) << name << " after " << time;
  };
  check_state(prompt);
  std::vector<at::Tensor> logits = {output.logits};
  for (int64_t t = prompt; t < golden->tokens().size(1); ++t) {
    output = model->forward(golden->tokens().slice(1, t, t + 1), output.state);
    logits.push_back(output.logits);
  }
  EXPECT_LT(absolute_error(at::cat(logits, 1), golden->fixture["out.logits_decode"]), GetParam().logit_error);
  check_state(golden->tokens().size(1));
}

TEST_P(BasedPublished, the_greedy_continuation_is_the_published_one) {
  const auto vocab = golden->description.at("config").at("vocab_size").get<int64_t>();
  const at::Tensor& expected = golden->fixture["out.greedy"];
  models::Output output = model->forward(golden->tokens());
  std::vector<at::Tensor> tokens;
  for (int64_t n = 0; n < expected.size(1); ++n) {
    tokens.push_back(output.logits.slice(2, 0, vocab).select(1, -1).argmax(-1, /*keepdim=*/true));
    output = model->forward(tokens.back(), output.state);
  }
  EXPECT_TRUE(at::equal(at::cat(tokens, 1), expected));
}

TEST_P(BasedPublished, a_step_leaves_the_state_that_it_was_given) {
  const models::State state = model->forward(golden->tokens()).state, copy = state.clone();
  model->forward(golden->tokens().slice(1, 0, 1), state);
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_TRUE(at::equal(state.entries[i].tensor, copy.entries[i].tensor)) << state.entries[i].name;
}

TEST_P(BasedPublished, a_step_without_gradients_is_the_step_with_them) {
  const auto wide = golden->load(at::kDouble);
  const models::State state = wide->forward(golden->tokens()).state;
  const at::Tensor next = golden->tokens().slice(1, 0, 1);
  const models::Output alone = wide->forward(next, state);
  const at::AutoGradMode with_grad(true);
  const models::Output expected = wide->forward(next, state);
  EXPECT_LT(absolute_error(alone.logits, expected.logits), 1e-11);
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_LT(absolute_error(alone.state.entries[i].tensor, expected.state.entries[i].tensor), 1e-11);
}

INSTANTIATE_TEST_SUITE_P(All, BasedPublished, testing::ValuesIn(kBasedCases),
                         [](const auto& each) { return each.param.fixture.substr(6); });

// --- the gated convolution by itself ---

class BasedConvolutionPublished : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto file = test::golden("short_conv/" + GetParam() + ".safetensors");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    fixture = std::make_unique<Fixture>(file);
    const at::Tensor& kernel = (*fixture)["w.conv.conv.weight"];
    models::BasedOptions options{.layers = 1, .linear_layers = {}, .sliding_layers = {}};
    options.width = fixture->operator[]("in.x").size(2);
    options.conv_width = kernel.size(0);
    options.conv_kernel = kernel.size(2);
    mixer = std::make_unique<models::BasedConvolution>(options);
    for (auto& parameter : mixer->named_parameters()) parameter.value().set_data((*fixture)["w." + parameter.key()]);
    double_precision = kernel.scalar_type() == at::kDouble;
    state.tensor = at::zeros({(*fixture)["in.x"].size(0), kernel.size(0), kernel.size(2)}, kernel.options());
  }
  at::Tensor forward(const at::Tensor& x) {
    models::Sequences rows;
    rows.count = x.size(0);
    const models::Rotation none(at::zeros({1, 1}, at::kLong), 2, 1e4, x);
    return mixer->forward(x, &state, {.sequences = rows, .rotation = none, .past_length = {}});
  }
  double tolerance() const { return double_precision ? 1e-12 : 1e-5; }

  std::unique_ptr<Fixture> fixture;
  std::unique_ptr<models::BasedConvolution> mixer;
  models::State::Entry state{"conv0", {}};
  bool double_precision = false;
};

TEST_P(BasedConvolutionPublished, output_and_gradients_are_the_published_ones) {
  const at::Tensor x = (*fixture)["in.x"].clone().requires_grad_();
  const at::Tensor y = forward(x);
  EXPECT_LT(relative_error(y, (*fixture)["out.y"]), tolerance());
  y.backward((*fixture)["in.grad_out"]);
  EXPECT_LT(relative_error(x.grad(), (*fixture)["grad.x"]), tolerance());
  for (const auto& parameter : mixer->named_parameters()) {
    EXPECT_LT(relative_error(parameter.value().grad(), (*fixture)["grad." + parameter.key()]), tolerance())
        << parameter.key();
  }
}

TEST_P(BasedConvolutionPublished, states_are_the_published_ones) {
  const at::NoGradGuard no_grad;
  const at::Tensor& x = (*fixture)["in.x"];
  const at::Tensor first = forward(x.slice(1, 0, 7));
  EXPECT_LT(relative_error(state.tensor, (*fixture)["state.after_7"]), tolerance());
  const at::Tensor second = forward(x.slice(1, 7));
  EXPECT_LT(relative_error(state.tensor, (*fixture)["state.after_15"]), tolerance());
  EXPECT_LT(relative_error(at::cat({first, second}, 1), (*fixture)["out.y"]), tolerance());
}

INSTANTIATE_TEST_SUITE_P(All, BasedConvolutionPublished,
                         testing::Values("base_conv_c12_t15_f32", "base_conv_c12_t15_f64"),
                         [](const auto& each) { return each.param; });

// --- files ---

class BasedFile : public testing::Test {
 protected:
  using Tensors = std::map<std::string, at::Tensor>;
  static constexpr const char* kEmbedding = "transformer.embeddings.word_embeddings.weight";

  std::string write() {
    const auto path = folder / "model.safetensors";
    zoo::write_safetensors(path, {tensors.begin(), tensors.end()});
    return path.string();
  }
  std::string error() {
    try {
      zoo::load(write(), {.config = config.dump()});
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  void expect_golden_logits() {
    const auto model = zoo::load_language_model(write(), {.config = config.dump()});
    EXPECT_LT(absolute_error(model->forward(fixture["in.input_ids"]).logits, fixture["out.logits"]), 4e-5);
  }

  ScratchFolder folder;
  const Fixture fixture{test::data("based/tiny_f8_w6.safetensors")};
  Tensors tensors = fixture.with_prefix("w.");
  nlohmann::json config = nlohmann::json::parse(std::ifstream(test::data("based/tiny_f8_w6.json"))).at("config");
};

TEST_F(BasedFile, may_have_either_or_both_of_the_tied_names) {
  expect_golden_logits();
  const at::Tensor embedding = tensors.extract(kEmbedding).mapped();
  expect_golden_logits();
  tensors.erase("lm_head.weight");
  tensors[kEmbedding] = embedding;
  expect_golden_logits();
}

TEST_F(BasedFile, with_tied_tensors_that_differ_is_refused) {
  tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1;
  EXPECT_THAT(error(), HasSubstr(std::string(kEmbedding) + " and another tensor are both"));
}

TEST_F(BasedFile, of_lightning_loses_its_prefix_and_counters) {
  Tensors wrapped;
  for (const auto& [name, tensor] : tensors) wrapped["model." + name] = tensor;
  wrapped["train_metrics.num-tokens.count"] = at::full({1}, 20000, at::kLong);
  wrapped["model.transformer.decay.decay"] = at::ones({4});
  wrapped["model.transformer.layers.2.mixer.rotary_emb.inv_freq"] = at::ones({8});
  tensors = wrapped;
  expect_golden_logits();
}

TEST_F(BasedFile, only_the_embeddings_name_is_a_parameter) {
  const auto parameters = zoo::load(write(), {.config = config.dump()})->named_parameters();
  EXPECT_TRUE(parameters.contains(kEmbedding));
  EXPECT_FALSE(parameters.contains("lm_head.weight"));
}

TEST_F(BasedFile, has_a_configuration_without_unknown_keys) {
  const zoo::Description d = zoo::describe(write(), {.config = config.dump()});
  EXPECT_THAT(d.unknown_config_keys, testing::IsEmpty());
  EXPECT_THAT(d.unused_tensors, testing::ElementsAre("lm_head.weight"));
}

TEST_F(BasedFile, is_loaded_with_the_configuration_that_its_model_gives) {
  const auto model = std::dynamic_pointer_cast<models::BasedImpl>(zoo::load(write(), {.config = config.dump()}));
  config = nlohmann::json::parse(model->config_json());
  const auto again = std::dynamic_pointer_cast<models::BasedImpl>(zoo::load(write(), {.config = config.dump()}));
  EXPECT_EQ(again->options(), model->options());
}

TEST_F(BasedFile, with_a_layer_in_both_lists_has_sliding_attention_there) {
  config["alt_mixer_layers"] = {1, 2};
  expect_golden_logits();
}

TEST_F(BasedFile, without_a_configuration_has_the_released_numbers) {
  config = nlohmann::json::object();
  EXPECT_THAT(
      error(),
      HasSubstr(
          "n_head, which shapes don't tell but config.json does, must divide the width 48 into heads of an even"));
  config = {{"n_head", 3}, {"alt_mixer", {{"num_heads", 4}}}};
  const auto model = std::dynamic_pointer_cast<models::BasedImpl>(zoo::load(write(), {.config = config.dump()}));
  ASSERT_TRUE(model);
  const models::BasedOptions& o = model->options();
  EXPECT_EQ(std::tie(o.window, o.rotary_base, o.norm_eps, o.vocab), std::tuple(128, 10000, 1e-5, 40));
}

TEST_F(BasedFile, with_tensors_of_another_model_is_refused) {
  tensors["transformer.layers.1.mixer.g_norm.weight"] = at::ones({12});
  EXPECT_THAT(error(), HasSubstr("g_norm.weight: not supported: a linear attention with a norm"));
  tensors.erase("transformer.layers.1.mixer.g_norm.weight");
  tensors["transformer.layers.0.mlp.fc3.weight"] = at::ones({256, 48});
  EXPECT_THAT(error(), HasSubstr("fc3.weight: not supported: the MLP of mlp_type \"alt\""));
}

TEST_F(BasedFile, with_layers_of_no_mixer_or_of_one_kind_only_is_refused) {
  const auto rename = [&](const std::string& from, const std::string& to) {
    tensors[to] = tensors.extract(from).mapped();
  };
  rename("transformer.layers.1.mixer.proj_q.weight", "transformer.layers.x.mixer.proj_q.weight");
  EXPECT_THAT(error(), HasSubstr("layer 1 has the names of no mixer"));
  tensors["transformer.layers.1.mixer.in_proj.weight"] = at::ones({1});
  EXPECT_THAT(error(), HasSubstr("BASED has layers of gated convolution and of linear attention"));
}

struct BasedRefusal {
  const char* name;
  const char* patch;  // of the configuration
  const char* message;
};

class BasedConfigRefused : public BasedFile, public testing::WithParamInterface<BasedRefusal> {};

TEST_P(BasedConfigRefused, with_the_key_in_one_line) {
  config.merge_patch(nlohmann::json::parse(GetParam().patch));
  EXPECT_THAT(error(), HasSubstr(GetParam().message));
  EXPECT_THAT(error(), testing::Not(HasSubstr("\n")));
}

const BasedRefusal kBasedRefusals[] = {
    {"layers", R"({"n_layer": 5})", "n_layer is 5, but the tensors say 4"},
    {"width", R"({"n_embd": 64})", "n_embd is 64, but the tensors say 48"},
    {"inner", R"({"n_inner": 300})", "n_inner is 300, but the tensors say 256"},
    {"vocabulary", R"({"vocab_size": 41})", "vocab_size is 41, but the tensors say 40"},
    {"linear_layers", R"({"alt_mixer_layers": [3]})", "alt_mixer_layers is [3], but the tensors say [1]"},
    {"sliding_layers", R"({"alt_mixer_2_layers": []})", "alt_mixer_2_layers is [], but the tensors say [2]"},
    {"list", R"({"alt_mixer_layers": [1.5]})", "alt_mixer_layers must be a list of integers, got [1.5]"},
    {"expansion", R"({"mixer": {"expand_proj": 2}})", "expand_proj is 2, but the tensors say 4"},
    {"features", R"({"alt_mixer": {"feature_dim": 16}})", "feature_dim is 16, but the tensors say 8"},
    {"heads", R"({"n_head": 5})", "n_head, which shapes don't tell but config.json does, must divide the width 48"},
    {"no_heads", R"({"n_head": 0})", "must divide the width 48 into heads of an even size, got 0"},
    {"odd_heads", R"({"n_head": 16})", "must divide the width 48 into heads of an even size, got 16"},
    {"no_linear_heads", R"({"alt_mixer": {"num_heads": 0}})",
     "num_heads, which shapes don't tell but config.json does, must divide the width 48, got 0"},
    {"fraction_of_a_head", R"({"n_head": 2.5})", "n_head must be an integer, not negative, got 2.5"},
    {"window", R"({"alt_mixer_2": {"window_size": 1e9}})", "window must be in 0..65536, got 1000000000"},
    {"kernel", R"({"alt_mixer": {"parallel_implementation": "tk"}})",
     "parallel_implementation is \"tk\": not supported"},
    {"mlp", R"({"mlp_type": "alt"})", "mlp_type is \"alt\": not supported, only base is"},
    {"layer_norm", R"({"rms_norm": false})", "rms_norm is false: not supported, only true is"},
    {"positions", R"({"max_position_embeddings": 2048})", "max_position_embeddings is 2048: not supported, only 0 is"},
    {"untied", R"({"tie_word_embeddings": false})", "tie_word_embeddings is false: not supported"},
    {"rotation", R"({"rotary_emb_fraction": 0.5})", "rotary_emb_fraction is 0.5: not supported"},
    {"activation", R"({"activation_function": "gelu"})", "activation_function is \"gelu\": not supported"},
};

INSTANTIATE_TEST_SUITE_P(All, BasedConfigRefused, testing::ValuesIn(kBasedRefusals),
                         [](const auto& each) { return each.param.name; });

// --- sizes, initial values, recipe ---

const models::BasedOptions kBased1b{.layers = 36,
                                    .width = 1792,
                                    .linear_layers = {1, 6, 11, 16, 21, 27, 33},
                                    .sliding_layers = {2, 7, 12, 17, 22, 28, 34},
                                    .window = 256};

TEST(BasedParameters, of_the_released_models_are_counted_right) {
  const auto count = [](const models::BasedOptions& options) {
    int64_t n = 0;
    for (const auto& p : models::BasedImpl(options, false).parameters()) n += p.numel();
    return n;
  };
  EXPECT_EQ(count({}), 362620928);
  EXPECT_EQ(count(kBased1b), 1349453056);
}

TEST(BasedState, has_the_size_of_the_distinct_features_and_the_window) {
  const models::Based model(models::BasedOptions{}, false);
  std::map<std::string, int64_t> elements;
  for (const auto& [name, tensor] : model->initial_state(1).entries)
    elements[name.substr(0, name.find_first_of("0123456789"))] += tensor.numel();
  EXPECT_EQ(elements["kv"] + elements["k"], 795600);
  EXPECT_EQ(elements["window_k"] + elements["window_v"], 665600);
  EXPECT_EQ(elements["conv"], 17 * 2048 * 3);
}

TEST(BasedOptions, that_fit_no_model_are_refused) {
  for (const models::BasedOptions& options :
       {models::BasedOptions{.layers = 0}, models::BasedOptions{.layers = 22}, models::BasedOptions{.width = 100},
        models::BasedOptions{.linear_layers = {-1}}, models::BasedOptions{.feature_size = 65},
        models::BasedOptions{.heads = 1024}, models::BasedOptions{.window = -1},
        models::BasedOptions{.conv_kernel = 65}, models::BasedOptions{.vocab_multiple = 0}}) {
    EXPECT_THROW(models::Based(options, false), Error);
  }
}

models::Based small_based() {
  at::manual_seed(3);
  return models::Based(models::BasedOptions{.layers = 3,
                                            .width = 64,
                                            .linear_layers = {1},
                                            .sliding_layers = {2},
                                            .linear_heads = 4,
                                            .heads = 4,
                                            .vocab = 500});
}

TEST(BasedInitial, values_have_the_published_spread) {
  for (const auto& parameter : small_based()->named_parameters()) {
    const std::string& name = parameter.key();
    const at::Tensor value = parameter.value().detach();
    const double mean = value.mean().item<double>();
    if (name.ends_with(".bias")) {
      EXPECT_EQ(value.count_nonzero().item<int64_t>(), 0) << name;
    } else if (value.dim() == 1) {
      EXPECT_TRUE(at::equal(value, at::ones_like(value))) << name;
    } else if (name.ends_with("conv.weight")) {
      EXPECT_NEAR(value.abs().max().item<double>(), 1 / std::sqrt(3.0), 0.02) << name;
      EXPECT_NEAR(mean, 0, 0.06) << name;
    } else {
      const bool ends_branch = name.ends_with("out_proj.weight") || name.ends_with("fc2.weight");
      const double expected = ends_branch ? 0.02 / std::sqrt(6.0) : 0.02;
      EXPECT_NEAR(value.std().item<double>() / expected, 1, 0.06) << name;
      EXPECT_NEAR(mean / expected, 0, 0.06) << name;
    }
  }
}

TEST(BasedRecipe, decays_all_but_biases_and_the_embedding) {
  const NamedGroups groups = named_groups(*small_based());
  const auto decayed = [&](const std::string& name) { return groups.at("transformer." + name).second; };
  EXPECT_FALSE(decayed("embeddings.word_embeddings.weight"));
  EXPECT_FALSE(decayed("layers.0.mixer.in_proj.bias"));
  EXPECT_FALSE(decayed("layers.0.mixer.out_proj.bias"));
  for (const char* name : {"layers.0.mixer.conv.conv.weight", "layers.0.norm1.weight", "ln_f.weight",
                           "layers.1.mixer.proj_q.weight", "layers.2.mixer.Wqkv.weight", "layers.2.mlp.fc1.weight"}) {
    EXPECT_TRUE(decayed(name)) << name;
  }
  EXPECT_EQ(groups.size(), small_based()->named_parameters().size());
}

TEST(BasedRecipe, has_no_logit_penalty) {
  models::Based model = small_based();
  const at::Tensor tokens = at::arange(12, at::kLong).view({2, 6});
  const auto gradient = [&](std::optional<double> penalty) {
    model->zero_grad();
    model->loss(tokens, tokens, penalty).backward();
    return model->parameters().front().grad().clone();
  };
  EXPECT_TRUE(at::equal(gradient(std::nullopt), gradient(0.0)));
}

}  // namespace
}  // namespace wkv::test
