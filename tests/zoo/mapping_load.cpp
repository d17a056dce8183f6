// From checkpoint to model: what is told from names and shapes, and what is refused, in which words.
#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/rwkv7.h"
#include "wkv/zoo/load.h"

namespace wkv::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

class Load : public testing::Test {
 protected:
  Load() : tensors(Fixture(test::data("rwkv7/tiny.safetensors")).with_prefix("w.")) {}

  std::string write() {
    const std::filesystem::path path = folder / "model.safetensors";
    zoo::write_safetensors(path, {tensors.begin(), tensors.end()});
    return path.string();
  }
  std::string error(const zoo::LoadOptions& options = {}) {
    try {
      zoo::load(write(), options);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  ScratchFolder folder;
  Tensors tensors;
};

TEST_F(Load, sizes_are_told_from_the_shapes) {
  const auto model = std::dynamic_pointer_cast<models::RWKV7Impl>(zoo::load(write()));
  ASSERT_TRUE(model);
  const models::RWKV7Options& o = model->options();
  EXPECT_EQ(std::tie(o.layers, o.width, o.head_size, o.ffn_width, o.vocab), std::tuple(3, 64, 16, 256, 50));
  EXPECT_EQ(o.ranks, (models::RWKV7Ranks{32, 32, 32, 32}));
  EXPECT_FALSE(model->is_training());
}

TEST_F(Load, every_problem_is_named_in_one_error) {
  tensors.erase("ln_out.bias");
  tensors.erase("blocks.1.att.k_a");
  tensors["blocks.2.att.surprise"] = at::ones({2});
  tensors["blocks.0.ffn.value.weight"] = at::ones({64, 3});
  tensors["head.weight"] = at::ones({50, 64}, at::kLong);
  EXPECT_THAT(error(), AllOf(HasSubstr("5 of its tensors"), HasSubstr("missing: ln_out.bias [64]"),
                             HasSubstr("missing: blocks.1.att.k_a [1, 1, 64]"),
                             HasSubstr("unexpected: blocks.2.att.surprise [2]"),
                             HasSubstr("mis-shaped: blocks.0.ffn.value.weight is [64, 3], expected [64, 256]"),
                             HasSubstr("head.weight is of dtype Long")));
}

TEST_F(Load, vectors_may_lack_their_ones) {
  const at::Tensor tokens = at::arange(10).unsqueeze(0);
  const at::Tensor expected = zoo::load_language_model(write())->forward(tokens).logits;
  for (auto& [name, tensor] : tensors) tensor = tensor.dim() == 3 ? tensor.flatten() : tensor;
  EXPECT_TRUE(at::equal(zoo::load_language_model(write())->forward(tokens).logits, expected));
}

TEST_F(Load, wrappers_prefixes_are_taken_off) {
  Tensors wrapped;
  for (const auto& [name, tensor] : tensors) wrapped["module._orig_mod." + name] = tensor;
  tensors = wrapped;
  EXPECT_TRUE(zoo::load(write())->named_parameters().contains("blocks.0.att.r_k"));
}

TEST_F(Load, block_0_may_lack_the_value_residual) {
  for (const char* name : {"v0", "v1", "v2"}) tensors.erase(std::string("blocks.0.att.") + name);
  EXPECT_FALSE(zoo::load(write())->named_parameters().contains("blocks.0.att.v0"));
}

TEST_F(Load, parameters_are_fp32_unless_the_file_is_fp64_or_the_caller_says_so) {
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kBFloat16);
  EXPECT_EQ(zoo::load(write())->parameters().front().scalar_type(), at::kFloat);
  EXPECT_EQ(zoo::load(write(), {.dtype = at::kBFloat16})->parameters().front().scalar_type(), at::kBFloat16);
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kDouble);
  EXPECT_EQ(zoo::load(write())->parameters().front().scalar_type(), at::kDouble);
  EXPECT_THAT(error({.dtype = at::kInt}), HasSubstr("dtype: expected a floating-point one, got Int"));
}

TEST_F(Load, training_a_loaded_model_leaves_the_file_alone) {
  const std::string path = write();
  const auto model = zoo::load(path);
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : model->parameters()) parameter.zero_();
  }
  EXPECT_GT(zoo::load(path)->named_parameters()["emb.weight"].abs().sum().item<double>(), 0);
}

TEST_F(Load, a_configuration_that_contradicts_the_shapes_is_refused) {
  EXPECT_EQ(error({.config = R"({"n_layer": 3, "vocab_size": 50, "version": "x070", "n_embd": null, "own": 1})"}),
            "no error");
  EXPECT_THAT(error({.config = R"({"n_layer": 4})"}), HasSubstr("n_layer is 4, but the tensors say 3"));
  EXPECT_THAT(error({.config = R"({"version": "x060"})"}), HasSubstr("but the tensors say x070"));
  EXPECT_THAT(error({.config = R"({"lora": {"g": 1}})"}), HasSubstr("lora: g is 1, but the tensors say 32"));
  EXPECT_THAT(error({.config = R"({"ln_x_eps": "x"})"}), HasSubstr("ln_x_eps must be a number"));
  EXPECT_THAT(error({.config = "{broken"}), HasSubstr("not valid JSON"));
  EXPECT_THAT(error({.config = "no-such-config.json"}), HasSubstr("no-such-config.json"));
}

// Values of JSON are copied by recursion, for which a stack has no room.
TEST_F(Load, a_configuration_that_is_too_deep_or_too_long_is_refused) {
  constexpr int kDeep = 200'000;
  const std::string deep = std::string(kDeep, '[') + std::string(kDeep, ']');
  EXPECT_THAT(error({.config = R"({"config": {"own": )" + deep + "}}"}), HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(error({.config = "{" + std::string(3 << 20, ' ') + "}"}), HasSubstr("too long for a configuration"));
}

TEST_F(Load, relatives_are_refused_by_name) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"blocks.0.ffn.s_emb.weight", "rwkv7a"}, {"blocks.0.qkv.qq.weight", "rwkv7b"}, {"_strategy", "Python package"}};
  for (const auto& [name, words] : cases) {
    tensors[name] = at::ones({2, 2});
    EXPECT_THAT(error(), HasSubstr(words));
    tensors.erase(name);
  }
  const std::vector<std::pair<const char*, const char*>> others = {{"blocks.0.att.time_state", "only the tuned"},
                                                                   {"conv1.weight", "no model that is known"}};
  for (const auto& [name, words] : others) {
    tensors = {{name, at::ones({2})}};
    EXPECT_THAT(error(), HasSubstr(words));
  }
  EXPECT_THAT(error({.family = "rwkv9"}), HasSubstr("expected one of based, "));
}

TEST_F(Load, hostile_names_and_sizes_are_refused) {
  tensors["blocks.999999999999.att.r_k"] = at::ones({4, 16});
  EXPECT_THAT(error(), HasSubstr("without a gap"));
  tensors.erase("blocks.999999999999.att.r_k");
  tensors["emb.weight"] = at::ones({0, 64});
  EXPECT_THAT(error(), HasSubstr("emb.weight must have 2 dimensions, none of them 0"));
  tensors["emb.weight"] = at::ones({64});
  EXPECT_THAT(error(), HasSubstr("emb.weight must have 2 dimensions"));
  tensors["emb.weight"] = at::ones({1, 1 << 20});  // whose square matrices would take 4 TB
  EXPECT_THAT(error(), HasSubstr("blocks.0.att.key.weight must be [1048576, 1048576], got [64, 64]"));
}

TEST_F(Load, description_counts_what_is_there) {
  const zoo::Description d = zoo::describe(write(), {.config = R"({"n_layer": 3, "own": 1})"});
  int64_t parameters = 0;
  for (const auto& [name, tensor] : tensors) parameters += tensor.numel();
  EXPECT_EQ(d.parameters, parameters);
  EXPECT_EQ(d.family, "rwkv7");
  EXPECT_EQ(d.container, "safetensors");
  EXPECT_EQ(d.state_bytes, 3 * (2 * 64 + 4 * 16 * 16) * 4);
  EXPECT_THAT(d.unknown_config_keys, testing::ElementsAre("own"));
}

TEST_F(Load, the_embedded_model_is_loaded_by_its_name) {
  const auto model = zoo::load_language_model(zoo::kEmbeddedModel);
  EXPECT_EQ(model->vocab_size(), 256);
  EXPECT_EQ(zoo::guess_tokenizer(model->vocab_size()), "bytes");
  EXPECT_THAT(zoo::embedded_model_card(), HasSubstr("held_out_bits_per_byte"));
}

}  // namespace
}  // namespace wkv::test
