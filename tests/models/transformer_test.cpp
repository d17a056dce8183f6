// What is the Transformer's own: pasts that grow, files of transformers' LLaMA, sizes, initial values.
#include "wkv/models/transformer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

const LanguageModelCase kTransformerCase = {
    .family = "transformer", .fixture = "transformer/tiny", .logit_error = 2e-5, .bf16_error = 0.1};
const LanguageModelRows kTransformerRows({kTransformerCase});

// --- pasts ---

class TransformerPast : public testing::Test {
 protected:
  at::Tensor tokens(int64_t begin, int64_t end) const { return golden.tokens().slice(0, 0, 1).slice(1, begin, end); }
  // The state after this many tokens, the last two read by themselves: there is room behind it.
  models::State state_after(int64_t count) {
    models::State state = model->forward(tokens(0, count - 2)).state;
    state = model->forward(tokens(count - 2, count - 1), state).state;
    return model->forward(tokens(count - 1, count), state).state;
  }
  static const void* address(const models::State& state) { return state.entries[1].tensor.const_data_ptr(); }

  const GoldenModel golden{kTransformerCase};
  const std::shared_ptr<models::LanguageModel> model = golden.load(at::kDouble);
  const at::NoGradGuard no_grad;
};

TEST_F(TransformerPast, is_not_copied_for_a_token) {
  models::State state = state_after(8);
  const void* const before = address(state);
  state = model->forward(tokens(8, 9), state).state;
  EXPECT_EQ(address(state), before);
}

TEST_F(TransformerPast, may_go_on_in_several_ways) {
  const models::State state = state_after(8), copy = state.clone();
  const models::Output first = model->forward(tokens(8, 9), state);
  const at::Tensor first_keys = first.state.entries[1].tensor.clone();
  const models::Output second = model->forward(tokens(9, 10), state);
  EXPECT_NE(address(second.state), address(first.state));
  EXPECT_TRUE(at::equal(first.state.entries[1].tensor, first_keys));
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_TRUE(at::equal(state.entries[i].tensor, copy.entries[i].tensor)) << state.entries[i].name;
  const at::Tensor whole = model->forward(at::cat({tokens(0, 8), tokens(9, 10)}, 1)).logits;
  EXPECT_LT(absolute_error(second.logits, whole.slice(1, 8)), 1e-11);
}

TEST_F(TransformerPast, goes_on_with_gradients_and_stays_what_it_is) {
  const models::State state = state_after(8), copy = state.clone();
  const at::Tensor without = model->forward(tokens(8, 12), state).logits;
  const at::AutoGradMode with_grad(true);
  const at::Tensor with = model->forward(tokens(8, 12), state).logits;
  EXPECT_LT(absolute_error(with, without), 1e-11);
  EXPECT_NO_THROW(with.sum().backward());
  for (size_t i = 0; i < state.entries.size(); ++i)
    EXPECT_TRUE(at::equal(state.entries[i].tensor, copy.entries[i].tensor)) << state.entries[i].name;
}

TEST_F(TransformerPast, of_inference_mode_goes_on_outside_of_it) {
  models::State state;
  {
    const c10::InferenceMode inference;
    state = state_after(8);
  }
  const at::Tensor whole = model->forward(tokens(0, 9)).logits;
  EXPECT_LT(absolute_error(model->forward(tokens(8, 9), state).logits, whole.slice(1, 8)), 1e-11);
}

TEST_F(TransformerPast, of_rows_of_different_lengths_decodes_as_alone) {
  const at::Tensor rows = at::cat({at::constant_pad_nd(tokens(0, 3), {5, 0}, 0), tokens(0, 8)});
  at::Tensor mask = at::ones_like(rows);
  mask.select(0, 0).slice(0, 0, 5).zero_();
  models::State state = model->forward(rows, {}, {.attention_mask = mask}).state;
  const at::Tensor one_by_one = at::cat({tokens(3, 4), tokens(8, 9)}), piece = at::cat({tokens(4, 9), tokens(9, 14)});
  const models::Output step = model->forward(one_by_one, state), rest = model->forward(piece, step.state);
  const at::Tensor whole = model->forward(tokens(0, 14)).logits;
  EXPECT_LT(absolute_error(step.logits[0], whole[0].slice(0, 3, 4)), 1e-11);
  EXPECT_LT(absolute_error(step.logits[1], whole[0].slice(0, 8, 9)), 1e-11);
  EXPECT_LT(absolute_error(rest.logits[0], whole[0].slice(0, 4, 9)), 1e-11);
  EXPECT_LT(absolute_error(rest.logits[1], whole[0].slice(0, 9, 14)), 1e-11);
}

TEST_F(TransformerPast, that_contradicts_itself_is_refused) {
  const auto error = [&](size_t entry, const at::Tensor& value) -> std::string {
    models::State state = state_after(8);
    state.entries[entry].tensor = value;
    try {
      model->forward(tokens(8, 9), state);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error(0, at::tensor({int64_t{9}})), HasSubstr("the state's position must be in 0..8"));
  EXPECT_THAT(error(0, at::tensor({int64_t{-1}})), HasSubstr("got -1"));
  EXPECT_THAT(error(2, at::zeros({1, 7, 2, 8}, at::kDouble)), HasSubstr("past_k0 has 8 tokens, and its past_v0 has 7"));
}

TEST_F(TransformerPast, continues_greedily_as_published) {
  const auto fp32 = golden.load();
  const at::Tensor& expected = golden.fixture["out.greedy"];
  models::Output output = fp32->forward(golden.tokens().slice(1, 0, 8));
  std::vector<at::Tensor> drawn;
  for (int64_t n = 0; n < expected.size(1); ++n) {
    drawn.push_back(output.logits.select(1, -1).argmax(-1, /*keepdim=*/true));
    output = fp32->forward(drawn.back(), output.state);
  }
  EXPECT_TRUE(at::equal(at::cat(drawn, 1), expected));
}

// --- files ---

class TransformerFile : public testing::Test {
 protected:
  std::string write() {
    const auto path = folder / "model.safetensors";
    zoo::write_safetensors(path, {tensors.begin(), tensors.end()});
    return path.string();
  }
  std::shared_ptr<models::TransformerImpl> load() {
    return std::dynamic_pointer_cast<models::TransformerImpl>(zoo::load(write(), {.config = config.dump()}));
  }
  std::string error() {
    try {
      load();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  ScratchFolder folder;
  const Fixture fixture{test::data("transformer/tiny.safetensors")};
  std::map<std::string, at::Tensor> tensors = fixture.with_prefix("w.");
  nlohmann::json config = nlohmann::json::parse(std::ifstream(test::data("transformer/tiny.json"))).at("config");
};

TEST_F(TransformerFile, has_a_configuration_without_unknown_keys) {
  EXPECT_THAT(zoo::describe(write(), {.config = config.dump()}).unknown_config_keys, testing::IsEmpty());
}

TEST_F(TransformerFile, is_loaded_with_the_configuration_that_its_model_gives) {
  const auto model = load();
  config = nlohmann::json::parse(model->config_json());
  EXPECT_THAT(zoo::describe(write(), {.config = config.dump()}).unknown_config_keys, testing::IsEmpty());
  EXPECT_EQ(load()->options(), model->options());
}

TEST_F(TransformerFile, of_an_older_package_has_a_table_of_frequencies_and_the_base_beside_the_sizes) {
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({4});
  config.erase("rope_parameters");
  config["rope_theta"] = 500;
  EXPECT_LT(absolute_error(load()->forward(fixture["in.idx"]).logits, fixture["out.logits"]), 2e-5);
}

struct TransformerRefusal {
  const char* name;
  const char* patch;  // of the configuration
  const char* message;
};

class TransformerConfigRefused : public TransformerFile, public testing::WithParamInterface<TransformerRefusal> {};

TEST_P(TransformerConfigRefused, with_the_key_in_one_line) {
  config.merge_patch(nlohmann::json::parse(GetParam().patch));
  EXPECT_THAT(error(), HasSubstr(GetParam().message));
  EXPECT_THAT(error(), testing::Not(HasSubstr("\n")));
}

const TransformerRefusal kTransformerRefusals[] = {
    {"layers", R"({"num_hidden_layers": 3})", "num_hidden_layers is 3, but the tensors say 2"},
    {"width", R"({"hidden_size": 64})", "hidden_size is 64, but the tensors say 16"},
    {"inner", R"({"intermediate_size": 32})", "intermediate_size is 32, but the tensors say 24"},
    {"vocabulary", R"({"vocab_size": 25})", "vocab_size is 25, but the tensors say 24"},
    {"heads", R"({"num_attention_heads": 3})", "num_attention_heads, which shapes don't tell but config.json does"},
    {"no_heads", R"({"num_attention_heads": null})", "must divide the width 16 into heads of an even size, got 0"},
    {"odd_heads", R"({"num_attention_heads": 16})", "must divide the width 16 into heads of an even size, got 16"},
    {"head_size", R"({"head_dim": 4})", "head_dim is 4, but the tensors say 8"},
    {"shared_keys", R"({"num_key_value_heads": 1})", "num_key_value_heads is 1, but the tensors say 2"},
    {"scaled_positions", R"({"rope_scaling": {"type": "linear", "factor": 2}})", "type is \"linear\": not supported"},
    {"other_positions", R"({"rope_parameters": {"rope_type": "llama3"}})", "rope_type is \"llama3\": not supported"},
    {"base", R"({"rope_parameters": {"rope_theta": 0}})", "rotary_base must be above 0, got 0"},
    {"eps", R"({"rms_norm_eps": -1})", "norm_eps must be above 0, got -1"},
    {"tied", R"({"tie_word_embeddings": true})", "tie_word_embeddings is true: not supported, only false is"},
    {"biases", R"({"attention_bias": true})", "attention_bias is true: not supported"},
    {"activation", R"({"hidden_act": "gelu"})", "hidden_act is \"gelu\": not supported, only silu is"},
    {"relative", R"({"model_type": "mistral"})", "model_type is \"mistral\": not supported, only llama is"},
};

INSTANTIATE_TEST_SUITE_P(All, TransformerConfigRefused, testing::ValuesIn(kTransformerRefusals),
                         [](const auto& each) { return each.param.name; });

TEST_F(TransformerFile, of_heads_that_share_keys_is_refused) {
  for (const char* name : {"k_proj", "v_proj"}) {
    at::Tensor& weight = tensors[std::string("model.layers.0.self_attn.") + name + ".weight"];
    weight = weight.slice(0, 0, 8).clone();
  }
  EXPECT_THAT(error(), HasSubstr("k_proj.weight: not supported: keys that heads share (8 rows for a width of 16)"));
}

struct TransformerRelative {
  const char* tensor;
  const char* message;
};

class TransformerRelativeRefused : public TransformerFile, public testing::WithParamInterface<TransformerRelative> {};

TEST_P(TransformerRelativeRefused, with_the_tensor) {
  tensors[std::string("model.layers.1.") + GetParam().tensor] = at::ones({16});
  EXPECT_THAT(error(), HasSubstr(GetParam().message));
}

const TransformerRelative kTransformerRelatives[] = {
    {"self_attn.q_proj.bias", "q_proj.bias: not supported: projections with biases"},
    {"self_attn.q_norm.weight", "q_norm.weight: not supported: norms of queries and keys"},
    {"post_feedforward_layernorm.weight", "not supported: norms behind the branches"},
};

INSTANTIATE_TEST_SUITE_P(All, TransformerRelativeRefused, testing::ValuesIn(kTransformerRelatives));

TEST_F(TransformerFile, without_a_head_of_its_own_is_refused) {
  tensors.erase("lm_head.weight");
  EXPECT_THAT(error(), HasSubstr("lm_head.weight"));
}

// --- sizes, initial values, recipe ---

TEST(TransformerOptions, have_a_rule_for_the_width_of_the_mlp) {
  EXPECT_EQ(models::Transformer(models::TransformerOptions{.layers = 1, .vocab = 8}, false)->options().ffn_width, 2048);
  EXPECT_EQ(models::Transformer(models::TransformerOptions{.layers = 1, .width = 320, .vocab = 8}, false)
                ->options()
                .ffn_width,
            864);  // of 853.3
}

TEST(TransformerOptions, that_fit_no_model_are_refused) {
  for (const models::TransformerOptions& options :
       {models::TransformerOptions{.layers = 0}, models::TransformerOptions{.width = 100},
        models::TransformerOptions{.width = 1024, .head_size = 512},
        models::TransformerOptions{.width = 63, .head_size = 21}, models::TransformerOptions{.ffn_width = -1},
        models::TransformerOptions{.vocab = 0}, models::TransformerOptions{.rotary_base = NAN},
        models::TransformerOptions{.norm_eps = 0}}) {
    EXPECT_THROW(models::Transformer(options, false), Error);
  }
}

models::Transformer small_transformer() {
  at::manual_seed(3);
  return models::Transformer(models::TransformerOptions{.layers = 3, .width = 64, .head_size = 16, .vocab = 500});
}

TEST(TransformerInitial, values_have_the_spread_that_is_promised) {
  for (const auto& parameter : small_transformer()->named_parameters()) {
    const std::string& name = parameter.key();
    const at::Tensor value = parameter.value().detach();
    if (value.dim() == 1) {
      EXPECT_TRUE(at::equal(value, at::ones_like(value))) << name;
      continue;
    }
    const bool ends_branch = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    const double expected = ends_branch ? 0.02 / std::sqrt(6.0) : 0.02;
    EXPECT_NEAR(value.std().item<double>() / expected, 1, 0.06) << name;
    EXPECT_NEAR(value.mean().item<double>() / expected, 0, 0.06) << name;
  }
}

TEST(TransformerRecipe, decays_matrices_and_no_norms) {
  const auto model = small_transformer();
  const NamedGroups groups = named_groups(*model);
  for (const auto& parameter : model->named_parameters())
    EXPECT_EQ(groups.at(parameter.key()).second, parameter.value().dim() == 2) << parameter.key();
}

}  // namespace
}  // namespace wkv::test
