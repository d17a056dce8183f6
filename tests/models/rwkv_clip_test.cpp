// RWKV-CLIP against fixtures of the published code: features, logits, gradients, training, sizes, initial values.
#include "wkv/models/rwkv_clip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/contrastive_loss.h"
#include "wkv/zoo/load.h"

namespace wkv::test {
namespace {

using models::RWKVCLIPImpl;
using models::RWKVCLIPOptions;

std::filesystem::path clip_file(const std::string& name) { return test::golden("rwkv_clip/" + name); }

// A fixture's weights as a checkpoint that a test may change before it is loaded, and its configuration.
struct ClipCheckpoint {
  explicit ClipCheckpoint(const std::string& name, const std::string& prefix = "w.")
      : fixture(clip_file(name + ".safetensors")),
        weights(fixture.with_prefix(prefix)),
        description(nlohmann::json::parse(std::ifstream(clip_file(name + ".json")))),
        config(description.at("config")) {}

  std::string write() const {
    const std::string path = (folder / "model.safetensors").string();
    zoo::write_safetensors(path, {weights.begin(), weights.end()});
    return path;
  }
  std::shared_ptr<RWKVCLIPImpl> load(at::ScalarType dtype = at::kFloat) const {
    const zoo::LoadOptions options = {.config = config.dump(), .dtype = dtype};
    return std::dynamic_pointer_cast<RWKVCLIPImpl>(zoo::load(write(), options));
  }

  Fixture fixture;
  std::map<std::string, at::Tensor> weights;
  nlohmann::json description, config;
  ScratchFolder folder;
};

at::Tensor logits_per_image(RWKVCLIPImpl& model, const Fixture& fixture) {
  const at::Tensor scale = model.named_parameters()["logit_scale"].exp();
  return scale * at::matmul(model.encode_image(fixture["in.image"], /*normalize=*/true),
                            model.encode_text(fixture["in.text"], /*normalize=*/true).t());
}

at::Tensor loss_of(RWKVCLIPImpl& model, const at::Tensor& images, const at::Tensor& tokens) {
  const models::RWKVCLIPOutput out = model.forward(images, tokens);
  return models::contrastive_loss(out.image_features, out.text_features, out.logit_scale);
}

class RWKVCLIPPublished : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::filesystem::path file = clip_file(GetParam() + ".safetensors");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    golden = std::make_unique<ClipCheckpoint>(GetParam());
  }
  const at::Tensor& published(const std::string& name) const { return golden->fixture[name]; }

  std::unique_ptr<ClipCheckpoint> golden;
};

TEST_P(RWKVCLIPPublished, features_are_the_published_ones) {
  const at::NoGradGuard no_grad;
  const auto out = golden->load()->forward(published("in.image"), published("in.text"));
  EXPECT_LT(relative_error(out.image_features, published("out.image_features")), 1e-5);
  EXPECT_LT(relative_error(out.text_features, published("out.text_features")), 1e-5);
  EXPECT_LT(relative_error(out.logit_scale, published("out.logit_scale")), 1e-6);
}

TEST_P(RWKVCLIPPublished, normalised_features_and_logits_are_the_published_ones) {
  const at::NoGradGuard no_grad;
  const auto model = golden->load();
  EXPECT_LT(relative_error(model->encode_image(published("in.image"), true), published("out.image_embeds")), 1e-5);
  EXPECT_LT(relative_error(model->encode_text(published("in.text"), true), published("out.text_embeds")), 1e-5);
  EXPECT_LT(relative_error(logits_per_image(*model, golden->fixture), published("out.logits_per_image")), 1e-5);
}

TEST_P(RWKVCLIPPublished, images_of_other_sizes_give_the_published_features) {
  const at::NoGradGuard no_grad;
  const auto model = golden->load();
  const auto images = golden->fixture.with_prefix("in.image_");
  ASSERT_FALSE(images.empty());
  for (const auto& [size, image] : images)
    EXPECT_LT(relative_error(model->encode_image(image), published("out.image_features_" + size)), 1e-5) << size;
}

TEST_P(RWKVCLIPPublished, shorter_texts_give_the_published_features) {
  const at::NoGradGuard no_grad;
  const auto model = golden->load();
  for (const auto& [length, features] : golden->fixture.with_prefix("out.text_features_ctx")) {
    const at::Tensor tokens = published("in.text").slice(1, 0, std::stol(length));
    EXPECT_LT(relative_error(model->encode_text(tokens), features), 1e-5) << length;
  }
}

TEST_P(RWKVCLIPPublished, loss_and_gradients_are_the_published_ones) {
  const auto model = golden->load();
  const at::Tensor loss = loss_of(*model, published("in.image"), published("in.text"));
  EXPECT_LT(relative_error(loss, published("out.loss")), 1e-5);
  loss.backward();
  const auto parameters = model->named_parameters();
  const auto expected = golden->fixture.with_prefix("grad.");  // of all parameters, or a part of them
  ASSERT_FALSE(expected.empty());
  for (const auto& [name, gradient] : expected) {
    const double tolerance = golden->weights.at(name).scalar_type() == at::kBFloat16 ? 5e-3 : 1e-4;
    EXPECT_LT(relative_error(parameters[name].grad(), gradient), tolerance) << name;
  }
}

TEST_P(RWKVCLIPPublished, in_fp64_all_is_exact) {
  const auto model = golden->load(at::kDouble);
  const at::Tensor images = published("in.image").to(at::kDouble), &tokens = published("in.text");
  const at::Tensor loss = loss_of(*model, images, tokens);
  EXPECT_LT(relative_error(loss, published("exact.loss")), 1e-12);
  loss.backward();
  const auto parameters = model->named_parameters();
  EXPECT_LT(relative_error(parameters["logit_scale"].grad(), published("exact.grad.logit_scale")), 1e-11);
  EXPECT_LT(relative_error(model->encode_image(images), published("exact.image_features")), 1e-12);
  EXPECT_LT(relative_error(model->encode_text(tokens), published("exact.text_features")), 1e-12);
}

TEST_P(RWKVCLIPPublished, checkpointing_changes_no_gradient) {
  const auto gradients = [&](bool checkpointing) {
    golden->config["with_cp"] = checkpointing;
    const auto model = golden->load();
    model->train();
    loss_of(*model, published("in.image"), published("in.text")).backward();
    return model->named_parameters();
  };
  const auto expected = gradients(false), found = gradients(true);
  for (const auto& parameter : expected)
    EXPECT_TRUE(at::equal(found[parameter.key()].grad(), parameter.value().grad())) << parameter.key();
}

TEST_P(RWKVCLIPPublished, configuration_is_known_and_told_again) {
  const auto described = zoo::describe(golden->write(), {.config = clip_file(GetParam() + ".json").string()});
  EXPECT_THAT(described.unknown_config_keys, testing::IsSubsetOf({"name", "all_fp32", "extra_image_sizes", "extra_ctx",
                                                                  "keys", "tensors", "agreement_with_fp64"}));
  const auto told = nlohmann::json::parse(described.config_json);
  for (const auto& [key, value] : told.items()) EXPECT_EQ(value, golden->config.at(key)) << key;
}

TEST_P(RWKVCLIPPublished, converted_file_needs_no_configuration) {
  const std::string config = golden->config.dump(), path = (golden->folder / "converted.safetensors").string();
  zoo::convert(golden->write(), path, {.config = config});
  EXPECT_EQ(zoo::describe(path).config_json, zoo::describe(golden->write(), {.config = config}).config_json);
}

INSTANTIATE_TEST_SUITE_P(All, RWKVCLIPPublished, testing::Values("tiny_a", "tiny_b", "tiny_cls"),
                         [](const auto& test_info) { return test_info.param; });

class RWKVCLIPContainer : public testing::TestWithParam<std::string> {};

TEST_P(RWKVCLIPContainer, holds_the_same_model) {
  for (const std::string& name : {GetParam(), std::string("tiny_a.safetensors")})
    if (!std::filesystem::exists(clip_file(name))) GTEST_SKIP() << clip_file(name) << " is not there";
  const auto expected = ClipCheckpoint("tiny_a").weights;
  const auto parameters = zoo::load(clip_file(GetParam()).string())->named_parameters();
  EXPECT_EQ(parameters.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    EXPECT_TRUE(at::equal(parameters[name], value.to(at::kFloat))) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RWKVCLIPContainer, testing::Values("tiny_a.model_31.pt", "tiny_a.compiled.pt"),
                         [](const auto& test_info) { return "case_" + std::to_string(test_info.index); });

TEST(RWKVCLIPTraining, in_fp32_follows_the_published_steps) {
  if (!std::filesystem::exists(clip_file("train_steps.safetensors")))
    GTEST_SKIP() << clip_file("train_steps.safetensors") << " is not there";
  const ClipCheckpoint golden("train_steps", "w0.");
  const auto model = golden.load();
  model->train();
  const double decay = golden.description.at("weight_decay").get<double>();
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions().weight_decay(decay));
  auto& options = static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[0].options());
  for (const auto& step : golden.description.at("steps")) {
    const std::string index = std::to_string(step.at("step").get<int>());
    options.lr(step.at("lr").get<double>()).betas({step.at("beta1").get<double>(), step.at("beta2").get<double>()});
    optimizer.zero_grad();
    const at::Tensor loss = loss_of(*model, golden.fixture["in.image." + index], golden.fixture["in.text." + index]);
    EXPECT_NEAR(loss.item<double>() / step.at("loss").get<double>(), 1, 1e-5) << index;
    loss.backward();
    const double norm = torch::nn::utils::clip_grad_norm_(model->parameters(), 1);
    EXPECT_NEAR(norm / step.at("grad_norm_before_clip").get<double>(), 1, 1e-4) << index;
    optimizer.step();
    const at::NoGradGuard no_grad;
    model->named_parameters()["logit_scale"].clamp_(0, std::log(100));
  }
  const auto parameters = model->named_parameters();
  for (const auto& [name, end] : golden.fixture.with_prefix("w_end."))
    EXPECT_LT(relative_error(parameters[name] - golden.weights.at(name), end - golden.weights.at(name)), 1e-3) << name;
}

// The released sizes, and a model that the published training code made of each.
class RWKVCLIPReleased : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto file = clip_file(GetParam());
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    manifest = nlohmann::json::parse(std::ifstream(file));
    const auto& config = manifest.at("config");
    options.patch_size = config.at("image_patch_size").get<int64_t>();
    options.drop_path = config.at("drop_path_rate").get<double>();
  }
  nlohmann::json manifest;
  RWKVCLIPOptions options;  // but for these two, the defaults are the released ones
};

TEST_P(RWKVCLIPReleased, parameters_are_the_published_ones) {
  const auto parameters = RWKVCLIPImpl(options, /*initialise=*/false).named_parameters();
  EXPECT_EQ(parameters.size(), manifest.at("tensors").size());
  int64_t count = 0;
  for (const auto& [name, facts] : manifest.at("tensors").items()) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    EXPECT_EQ(parameters[name].sizes().vec(), facts.at(1).get<std::vector<int64_t>>()) << name;
    count += parameters[name].numel();
  }
  EXPECT_EQ(count, manifest.at("total_parameters").get<int64_t>());
}

TEST_P(RWKVCLIPReleased, configuration_is_the_published_one) {
  const RWKVCLIPImpl model(options, /*initialise=*/false);
  const auto told = nlohmann::json::parse(model.config_json());
  for (const auto& [key, value] : told.items()) EXPECT_EQ(value, manifest.at("config").at(key)) << key;
  EXPECT_EQ(model.preprocessing(), "clip224");
}

INSTANTIATE_TEST_SUITE_P(All, RWKVCLIPReleased, testing::Values("manifest_B32.json", "manifest_B16.json"),
                         [](const auto& test_info) { return "case_" + std::to_string(test_info.index); });

TEST(RWKVCLIPInitial, values_are_distributed_as_published) {
  const auto file = clip_file("manifest_B32.json");
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  at::manual_seed(1);
  const auto parameters = RWKVCLIPImpl(RWKVCLIPOptions()).named_parameters();
  const auto manifest = nlohmann::json::parse(std::ifstream(file));
  for (const auto& [name, facts] : manifest.at("init_mean_std_min_max").items()) {
    const at::Tensor& value = parameters[name];
    const auto deviation = facts.at(1).get<double>(), low = facts.at(2).get<double>(), high = facts.at(3).get<double>();
    const bool is_orthogonal = name.starts_with("text_model.blocks") && name.ends_with(".weight") && value.dim() == 2;
    // As far as two draws differ: means by their standard error, extremes of orthogonal matrices by more than of a
    // range.
    const double of_mean = 5 * deviation / std::sqrt(static_cast<double>(value.numel())) + 1e-6,
                 of_extremes = (is_orthogonal ? 0.25 : 0.02) * std::max(std::abs(low), std::abs(high)) + 1e-6;
    EXPECT_NEAR(value.mean().item<double>(), facts.at(0).get<double>(), of_mean) << name;
    EXPECT_NEAR(value.std(/*unbiased=*/false).item<double>(), deviation, 0.05 * deviation + 1e-6) << name;
    EXPECT_NEAR(value.min().item<double>(), low, of_extremes) << name;
    EXPECT_NEAR(value.max().item<double>(), high, of_extremes) << name;
  }
}

TEST(RWKVCLIPInitial, values_of_the_text_tower_are_bf16) {
  const RWKVCLIPImpl model({.image_layers = 2, .vocab = 40, .text_layers = 2, .width = 64});
  for (const auto& parameter : model.named_parameters()) {
    if (!parameter.key().starts_with("text_model.")) continue;
    EXPECT_EQ(parameter.value().scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(parameter.value(), parameter.value().to(at::kBFloat16).to(at::kFloat))) << parameter.key();
  }
}

RWKVCLIPOptions small_options() {
  return {.image_size = 16,
          .patch_size = 8,
          .image_layers = 2,
          .image_heads = 2,
          .context = 5,
          .vocab = 40,
          .text_layers = 2,
          .text_head_size = 8,
          .width = 32};
}

TEST(RWKVCLIP, drops_paths_of_the_image_tower_in_training_only) {
  RWKVCLIPOptions options = small_options();
  options.drop_path = 0.9;
  RWKVCLIPImpl model(options);
  const at::Tensor images = at::randn({64, 3, 16, 16});
  const at::Tensor whole = (model.eval(), model.encode_image(images)),
                   dropped = (model.train(), model.encode_image(images));
  EXPECT_TRUE((model.eval(), at::equal(model.encode_image(images), whole)));
  EXPECT_GT((dropped - whole).abs().amax(1).gt(1e-6).sum().item<int64_t>(), 32);
}

TEST(RWKVCLIP, refuses_other_tokens) {
  const at::NoGradGuard no_grad;
  RWKVCLIPImpl model(small_options());
  EXPECT_NO_THROW(model.encode_text(at::zeros({2, 5}, at::kLong)));
  EXPECT_NO_THROW(model.encode_text(at::full({2, 1}, 39, at::kLong)));
  for (const at::Tensor& tokens :
       {at::zeros({2, 6}, at::kLong), at::zeros({2, 0}, at::kLong), at::full({2, 5}, 40, at::kLong),
        at::full({2, 5}, -1, at::kLong), at::zeros({2, 5}, at::kInt), at::zeros({5}, at::kLong), at::Tensor()})
    EXPECT_THROW(model.encode_text(tokens), Error);
}

TEST(RWKVCLIP, refuses_other_images) {
  const at::NoGradGuard no_grad;
  RWKVCLIPImpl model(small_options());
  EXPECT_NO_THROW(model.encode_image(at::zeros({1, 3, 1, 9})));
  for (const at::Tensor& images : {at::zeros({3, 16, 16}), at::zeros({1, 1, 16, 16}), at::zeros({1, 3, 0, 16}),
                                   at::zeros({1, 3, 16, 16}, at::kByte), at::Tensor()})
    EXPECT_THROW(model.encode_image(images), Error);
}

TEST(RWKVCLIP, refuses_options_that_fit_no_model) {
  const auto with = [](const auto& change) {
    RWKVCLIPOptions options = small_options();
    change(options);
    return options;
  };
  for (const RWKVCLIPOptions& options : {
           with([](auto& o) { o.image_layers = 1; }),
           with([](auto& o) { o.text_layers = 1; }),
           with([](auto& o) { o.width = 36; }),
           with([](auto& o) { o.image_heads = 16; }),
           with([](auto& o) { o.text_head_size = 1; }),
           with([](auto& o) { o.image_size = 7; }),
           with([](auto& o) { o.context = 0; }),
           with([](auto& o) { o.output_class_token = true; }),
           with([](auto& o) { o.drop_path = 1; }),
           with([](auto& o) { o.head_size_divisor = NAN; }),
       })
    EXPECT_THROW(RWKVCLIPImpl(options, /*initialise=*/false), Error);
}

// What is wrong with a file or its configuration, and what the message says of it.
struct BadClipCheckpoint {
  const char* name;
  std::function<void(ClipCheckpoint&)> break_it;
  const char* message;
};

class RWKVCLIPRefuses : public testing::TestWithParam<BadClipCheckpoint> {};

TEST_P(RWKVCLIPRefuses, the_checkpoint) {
  if (!std::filesystem::exists(clip_file("tiny_cls.safetensors")))
    GTEST_SKIP() << clip_file("tiny_cls.safetensors") << " is not there";
  ClipCheckpoint checkpoint("tiny_cls");
  GetParam().break_it(checkpoint);
  try {
    checkpoint.load();
    FAIL() << "was loaded";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

auto set_weight(const char* name, std::vector<int64_t> shape) {
  return [=](ClipCheckpoint& c) { c.weights[name] = at::zeros(shape); };
}
auto remove_weight(const char* name) {
  return [=](ClipCheckpoint& c) { c.weights.erase(name); };
}
auto set_config(const char* key, const nlohmann::json& value) {
  return [=](ClipCheckpoint& c) { c.config[key] = value; };
}

INSTANTIATE_TEST_SUITE_P(
    All, RWKVCLIPRefuses,
    testing::Values(
        BadClipCheckpoint{"wide_vocabulary", set_weight("text_model.emb.weight", {1, 4096}), "att.key.weight must be"},
        BadClipCheckpoint{"long_rectangle", set_weight("image_model.pos_embed", {1, 15, 32}), "pos_embed must be"},
        BadClipCheckpoint{"other_image_width", set_weight("image_model.patch_embed.projection.weight", {16, 3, 8, 8}),
                          "projection.weight must be"},
        BadClipCheckpoint{"oblong_patch", set_weight("image_model.patch_embed.projection.weight", {32, 3, 8, 4}),
                          "projection.weight must be"},
        BadClipCheckpoint{"half_a_hidden_rate", set_weight("image_model.layers.0.ffn.key.weight", {40, 32}),
                          "ffn.key.weight must be [32, 32], got [40, 32]"},
        BadClipCheckpoint{"no_width", set_weight("text_model.emb.weight", {120, 0}), "none of them 0"},
        BadClipCheckpoint{"gap", remove_weight("text_model.blocks.1.ln1.weight"),
                          "missing: text_model.blocks.1.ln1.weight"},
        BadClipCheckpoint{"other_tower", set_weight("audio_model.emb.weight", {1}),
                          "unexpected: audio_model.emb.weight"},
        BadClipCheckpoint{"huge_heads", set_weight("text_model.blocks.0.att.time_faaaa", {1, 512}), "head_size"},
        BadClipCheckpoint{"pos_emb", set_config("pos_emb", 1), "pos_emb is 1: not supported"},
        BadClipCheckpoint{"head_qk", set_config("head_qk", 64), "head_qk is 64: not supported"},
        BadClipCheckpoint{"tiny_att_dim", set_config("tiny_att_dim", 32), "tiny_att_dim is 32: not supported"},
        BadClipCheckpoint{"other_depth", set_config("image_depth", 12), "image_depth is 12"},
        BadClipCheckpoint{"other_ffn", set_config("dim_ffn", 128), "dim_ffn is 128"},
        BadClipCheckpoint{"no_class_token", set_config("image_with_cls_token", false), "image_with_cls_token is false"},
        BadClipCheckpoint{"other_size", set_config("input_size", 224), "input_size is 224"},
        BadClipCheckpoint{"divisor_0", set_config("head_size_divisor", 0), "head_size_divisor must be above 0"}),
    [](const auto& test_info) { return test_info.param.name; });

TEST(RWKVCLIPConfig, zeros_stand_for_rules) {
  if (!std::filesystem::exists(clip_file("tiny_cls.safetensors")))
    GTEST_SKIP() << clip_file("tiny_cls.safetensors") << " is not there";
  ClipCheckpoint checkpoint("tiny_cls");
  checkpoint.config.update(
      {{"dim_att", 0}, {"dim_ffn", 0}, {"text_num_head", 4}, {"head_size", 64}, {"input_size", 39}});
  const auto model = checkpoint.load();
  EXPECT_EQ(model->options().text_head_size, 8);
  EXPECT_EQ(model->options().text_ffn_width, 96);
  EXPECT_EQ(model->options().image_size, 39);
}

}  // namespace
}  // namespace wkv::test
