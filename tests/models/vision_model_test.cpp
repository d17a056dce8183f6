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
  EXPECT_LT(relative_error(images.grad(), golden_model->fixture["grad.in.x"]), 5e-5);
}

TEST_P(PublishedClassifier, has_the_logits_of_the_published_kernels_where_it_is_asked_for) {
  if (!golden_model->fixture.has("out.logits_upstream")) GTEST_SKIP() << "the golden file has none";
  golden_model->config["compat_chunks"] = 32;
  const at::Tensor logits = golden_model->load()->forward(golden_model->images());
  EXPECT_LT(relative_error(logits, expected("logits_upstream")), 5e-6);
}

TEST_P(PublishedClassifier, has_the_gradients_of_the_published_kernels_where_it_is_asked_for) {
  if (!golden_model->fixture.has("grad_upstream.backbone.pos_embed")) GTEST_SKIP() << "the golden file has none";
  golden_model->config["compat_chunks"] = 32;
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

// A released file as its list of names and shapes has it. No byte of its values is stored: the file is one hole.
std::string write_without_values(const nlohmann::json& keys, const std::filesystem::path& path) {
  nlohmann::json header;
  uint64_t end = 0;
  for (const auto& [name, entry] : keys.items()) {
    uint64_t bytes = sizeof(float);
    for (const uint64_t size : entry.at(1)) bytes *= size;
    header[name] = {{"dtype", "F32"}, {"shape", entry.at(1)}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  std::filesystem::resize_file(path, sizeof length + length + end);
  return path.string();
}

struct ReleasedModel {
  const char* name;
  const char* family;
  nlohmann::json config;  // some of what must be told from names and shapes
};
void PrintTo(const ReleasedModel& model, std::ostream* out) { *out << model.name; }

class ReleasedClassifier : public testing::TestWithParam<ReleasedModel> {};

TEST_P(ReleasedClassifier, is_told_from_names_and_shapes_with_the_published_number_of_parameters) {
  const std::filesystem::path manifests = test::golden("vrwkv/key_manifests.json");
  if (!std::filesystem::exists(manifests)) GTEST_SKIP() << manifests << " is not there";
  const auto manifest = nlohmann::json::parse(std::ifstream(manifests)).at(GetParam().name);
  const ScratchFolder folder;
  const auto description = zoo::describe(write_without_values(manifest.at("keys"), folder / "model.safetensors"));
  EXPECT_EQ(description.family, GetParam().family);
  EXPECT_EQ(description.parameters, manifest.at("params").get<int64_t>());
  EXPECT_TRUE(description.unused_tensors.empty());
  const auto config = nlohmann::json::parse(description.config_json);
  for (const auto& [key, value] : GetParam().config.items()) EXPECT_EQ(config.at(key), value) << key;
}

INSTANTIATE_TEST_SUITE_P(
    All, ReleasedClassifier,
    testing::Values(
        ReleasedModel{"vrwkv_t", "vrwkv", {{"embed_dims", 192}, {"post_norm", false}, {"init_values", nullptr}}},
        ReleasedModel{"vrwkv_s", "vrwkv", {{"embed_dims", 384}, {"post_norm", true}, {"key_norm", false}}},
        ReleasedModel{"vrwkv_b", "vrwkv", {{"embed_dims", 768}, {"post_norm", true}, {"img_size", 224}}},
        ReleasedModel{"vrwkv_l_22kto1k_384", "vrwkv", {{"depth", 24}, {"img_size", 192}, {"hidden_dims", 3072}}},
        ReleasedModel{"vrwkv_l_in22k_192", "vrwkv", {{"key_norm", true}, {"num_classes", 21841}}},
        ReleasedModel{"vrwkv6_t", "vrwkv6", {{"num_heads", 3}, {"post_norm", false}}},
        ReleasedModel{"vrwkv6_s", "vrwkv6", {{"num_heads", 6}, {"post_norm", true}}},
        ReleasedModel{"vrwkv6_b", "vrwkv6", {{"num_heads", 12}, {"head_size", 64}}}),
    [](const auto& test_info) { return std::string(test_info.param.name); });

}  // namespace
}  // namespace wkv::test
