// Every published classifier among the golden files: VRWKV and VRWKV6.
#include <ATen/ops/cross_entropy_loss.h>

#include "models/vision_cases.h"

namespace wkv::test {
namespace {

class PublishedClassifier : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!has_golden(GetParam())) GTEST_SKIP() << golden(GetParam() + ".safetensors").string() << " is not there";
    golden_model = std::make_unique<GoldenVisionModel>(GetParam());
  }
  at::Tensor expected(const std::string& name) const { return golden_model->fixture["out." + name]; }
  // The published kernels' own numbers.
  void ask_for_upstream() {
    if (!golden_model->fixture.has("out.logits_upstream")) GTEST_SKIP() << "upstream's op computes the definition";
    golden_model->config["compat_chunks"] = 32;
  }
  at::Tensor loss(models::VisionModel& model, const at::Tensor& images) const {
    return at::cross_entropy_loss(model.forward(images), golden_model->fixture["in.labels"]);
  }
  std::map<std::string, at::Tensor> parameter_gradients(const std::string& prefix) const {
    auto gradients = golden_model->fixture.with_prefix(prefix);
    gradients.erase("in.x");
    return gradients;
  }

  std::unique_ptr<GoldenVisionModel> golden_model;
};

TEST_P(PublishedClassifier, has_the_published_logits) {
  EXPECT_LT(relative_error(golden_model->load()->forward(golden_model->images()), expected("logits")), 3e-6);
}

TEST_P(PublishedClassifier, has_the_published_features) {
  const auto maps = golden_model->load()->features(golden_model->images());
  ASSERT_EQ(maps.size(), 1);
  EXPECT_FALSE(maps[0].class_token.defined());
  EXPECT_LT(relative_error(maps[0].patches, expected("features")), 5e-6);
}

TEST_P(PublishedClassifier, has_the_published_loss_and_gradients) {
  const auto model = golden_model->load();
  at::Tensor images = golden_model->images().clone().requires_grad_(true);
  const at::Tensor value = loss(*model, images);
  EXPECT_LT(relative_error(value, expected("loss")), 2e-6);
  value.backward();
  expect_gradients(*model, parameter_gradients("grad."), 5e-5);
  if (golden_model->fixture.has("grad.in.x"))
    EXPECT_LT(relative_error(images.grad(), golden_model->fixture["grad.in.x"]), 5e-5);
}

TEST_P(PublishedClassifier, has_the_logits_of_the_published_kernels_where_it_is_asked_for) {
  ask_for_upstream();
  const at::Tensor logits = golden_model->load()->forward(golden_model->images());
  EXPECT_LT(relative_error(logits, expected("logits_upstream")), 5e-6);
}

TEST_P(PublishedClassifier, has_the_gradients_of_the_published_kernels_where_it_is_asked_for) {
  ask_for_upstream();
  const auto model = golden_model->load();
  loss(*model, golden_model->images()).backward();
  expect_gradients(*model, parameter_gradients("grad_upstream."), 1e-4);
}

TEST_P(PublishedClassifier, is_close_in_bf16) {
  const auto model = golden_model->load(at::kBFloat16);
  const at::Tensor logits = model->forward(golden_model->images());
  EXPECT_EQ(logits.scalar_type(), at::kBFloat16);
  EXPECT_LT(relative_error(logits, expected("logits")), 5e-2);
}

TEST_P(PublishedClassifier, is_exact_in_fp64) {
  const auto model = golden_model->load(at::kDouble);
  EXPECT_LT(relative_error(model->forward(golden_model->images()), expected("logits")), 1e-7);
}

TEST_P(PublishedClassifier, leaves_no_key_of_the_configuration_unknown) {
  EXPECT_TRUE(
      zoo::describe(golden_model->write(), {.config = golden_model->config.dump()}).unknown_config_keys.empty());
}

// Layer by layer, so that an error says where it is.
TEST_P(PublishedClassifier, has_the_published_values_after_each_block) {
  const auto blocks = golden_model->fixture.with_prefix("mid.layer");
  if (blocks.empty()) GTEST_SKIP() << "the golden file has none";
  const int64_t layers = golden_model->config.at("depth").get<int64_t>();
  std::vector<int64_t> all_but_last;  // the last are features, normalised
  for (int64_t layer = 0; layer + 1 < layers; ++layer) all_but_last.push_back(layer);
  golden_model->config["out_indices"] = all_but_last;
  const auto maps = golden_model->load()->features(golden_model->images());
  for (int64_t layer : all_but_last) {
    const at::Tensor tokens = maps[static_cast<size_t>(layer)].patches.flatten(2).transpose(1, 2);
    EXPECT_LT(relative_error(tokens, blocks.at(std::to_string(layer))), 5e-6) << "block " << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedClassifier,
                         testing::Values("vrwkv/tiny_prenorm_32x32", "vrwkv/tiny_prenorm_48x64",
                                         "vrwkv/tiny_prenorm_45x59_padded", "vrwkv/small_postnorm_layerscale_32x32",
                                         "vrwkv/prenorm_layerscale_keynorm_32x32", "vrwkv/noshift_local_32x32",
                                         "vrwkv/gamma8_shift2_global_nofinalnorm_48x64", "vrwkv/patch4_T196_56x56",
                                         "vrwkv/large_wrapper_depth2_32x32", "vrwkv/large_mlphead_depth13_48x48",
                                         "vrwkv6/tiny_prenorm_hd16_32x32", "vrwkv6/tiny_prenorm_hd16_48x64",
                                         "vrwkv6/keynorm_hd16_45x59_padded", "vrwkv6/postnorm_layerscale_hd16_32x32",
                                         "vrwkv6/hd64_dim64_32x32"),
                         [](const auto& test_info) {
                           std::string name = test_info.param;
                           std::ranges::replace(name, '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace wkv::test
