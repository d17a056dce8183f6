// What is VRWKV6's own: initial values, class tokens, what is refused.
#include "wkv/models/vrwkv6.h"

#include <gtest/gtest.h>

#include "models/initial_values.h"
#include "models/vision_cases.h"

namespace wkv::test {
namespace {

using models::VRWKV6Options;

TEST(VRWKV6Initial, values_are_the_published_ones) {
  const Fixture fixture(test::golden("vrwkv/init_fancy.safetensors"));
  const std::pair<int64_t, int64_t> kSizes[] = {{64, 4}, {192, 12}};
  for (const auto& [width, layers] : kSizes) {
    const models::VRWKV6 model(VRWKV6Options{.trunk = {.patch_size = 32, .width = width, .layers = layers}});
    std::map<std::string, at::Tensor> expected;
    for (const auto& [name, value] :
         fixture.with_prefix("v6.C" + std::to_string(width) + ".L" + std::to_string(layers) + ".layer"))
      expected["backbone.layers." + name] = value;
    expect_values(*model, expected);
  }
}

TEST(VRWKV6Initial, low_rank_factors_are_small_and_norms_change_nothing) {
  const models::VRWKV6 model(VRWKV6Options{.trunk = {.patch_size = 32, .layers = 2}});
  const auto parameters = model->named_parameters();
  for (const char* name : {"time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2"}) {
    const double largest = parameters[std::string("backbone.layers.1.att.") + name].abs().max().item<double>();
    EXPECT_LE(largest, 1e-4) << name;
    EXPECT_GT(largest, 0.9e-4) << name;
  }
  EXPECT_TRUE(parameters["backbone.layers.1.att.ln_x.weight"].eq(1).all().item<bool>());
}

class ClassTokenBackbone : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_golden(kName)) GTEST_SKIP() << golden(std::string(kName) + ".safetensors").string() << " is not there";
    golden_model = std::make_unique<GoldenVisionModel>(kName);
  }
  static constexpr const char* kName = "vrwkv6/cls_token_backbone_hd16";
  std::unique_ptr<GoldenVisionModel> golden_model;
};

TEST_F(ClassTokenBackbone, has_the_published_features_after_each_block) {
  const auto maps = golden_model->load()->features(golden_model->images());
  ASSERT_EQ(maps.size(), 2);
  for (size_t i = 0; i < maps.size(); ++i) {
    const std::string out = "out." + std::to_string(i);
    EXPECT_LT(relative_error(maps[i].patches, golden_model->fixture[out + ".patch"]), 5e-6) << i;
    EXPECT_LT(relative_error(maps[i].class_token, golden_model->fixture[out + ".cls"]), 5e-6) << i;
  }
}

TEST_F(ClassTokenBackbone, has_the_published_gradients) {
  const auto model = golden_model->load();
  const auto maps = model->features(golden_model->images());
  at::Tensor loss = at::zeros({});
  for (size_t i = 0; i < maps.size(); ++i) {
    const std::string in = "in.g" + std::to_string(i);
    loss = loss + (maps[i].patches * golden_model->fixture[in + ".patch"]).sum() +
           (maps[i].class_token * golden_model->fixture[in + ".cls"]).sum();
  }
  loss.backward();
  expect_gradients(*model, golden_model->fixture.with_prefix("grad."), 5e-5);
}

TEST_F(ClassTokenBackbone, has_no_class_tokens_among_its_features_where_they_are_not_asked_for) {
  golden_model->config["output_cls_token"] = false;
  for (const auto& map : golden_model->load()->features(golden_model->images()))
    EXPECT_FALSE(map.class_token.defined());
}

TEST_F(ClassTokenBackbone, takes_one_output_as_a_number) {
  golden_model->config["out_indices"] = -1;
  const auto maps = golden_model->load()->features(golden_model->images());
  ASSERT_EQ(maps.size(), 1);
  EXPECT_LT(relative_error(maps[0].patches, golden_model->fixture["out.1.patch"]), 5e-6);
}

TEST(VRWKV6, a_classifier_with_a_class_token_sees_the_whole_image_by_it) {
  at::manual_seed(1);
  const auto logits_change = [](bool output_class_token) {
    models::VRWKV6 model(VRWKV6Options{.trunk = {.image_size = 32,
                                                 .patch_size = 8,
                                                 .width = 64,
                                                 .layers = 2,
                                                 .class_token = true,
                                                 .output_class_token = output_class_token},
                                       .classifier = {.classes = 3}});
    const at::NoGradGuard no_grad;
    for (const at::Tensor& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.1);
    at::Tensor images = at::randn({1, 3, 32, 32});
    const at::Tensor before = model->forward(images);
    images[0].slice(1, 0, 8) += 1;
    return relative_error(model->forward(images), before);
  };
  EXPECT_GT(logits_change(true), 1e-4);
  EXPECT_GT(logits_change(false), 1e-4);
}

TEST(VRWKV6, a_configuration_that_contradicts_the_tensors_is_refused) {
  const nlohmann::json kRefused[] = {{{"num_heads", 4}},     {{"head_size", 32}},        {{"type", "VRWKV"}},
                                     {{"shift_pixel", 2}},   {{"channel_gamma", 0.125}}, {{"init_mode", "local"}},
                                     {{"key_norm", true}},   {{"embed_dims", 16}},       {{"shift_mode", "q_shift"}},
                                     {{"init_values", 1e-5}}};
  GoldenVisionModel file("vrwkv6/tiny_prenorm_hd16_32x32");
  const nlohmann::json own = file.config;
  EXPECT_NO_THROW(file.load());
  for (const nlohmann::json& refused : kRefused) {
    file.config = own;
    file.config.update(refused);
    EXPECT_THROW(file.load(), Error) << refused;
  }
}

TEST(VRWKV6, head_sizes_that_fit_no_shift_or_width_are_refused) {
  for (const int64_t head_size : {0, 6, 7, 5}) {
    EXPECT_THROW(models::VRWKV6(VRWKV6Options{.trunk = {.width = 30, .layers = 2}, .head_size = head_size}), Error);
  }
}

}  // namespace
}  // namespace wkv::test
