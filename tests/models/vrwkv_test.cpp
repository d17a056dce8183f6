// What is VRWKV's own: options, initial values, what is told from files, what is refused.
#include "wkv/models/vrwkv.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/initial_values.h"
#include "models/vision_cases.h"

namespace wkv::test {
namespace {

using models::ClassifierHead;
using models::VRWKVInit;
using models::VRWKVOptions;

VRWKVOptions small_vrwkv() {
  return {.trunk = {.image_size = 32, .patch_size = 8, .width = 32, .layers = 4}, .classifier = {.classes = 5}};
}

// A checkpoint that tests change: classifier, post-norm, layer scale.
struct PostNorm : GoldenVisionModel {
  PostNorm() : GoldenVisionModel("vrwkv/small_postnorm_layerscale_32x32") {}
  VRWKVOptions options() const { return load<models::VRWKVImpl>()->options(); }
};

TEST(VRWKVInitial, values_are_the_published_ones) {
  const Fixture fixture(test::golden("vrwkv/init_fancy.safetensors"));
  const std::pair<int64_t, int64_t> kSizes[] = {{32, 4}, {192, 12}};
  for (const auto& [width, layers] : kSizes) {
    const models::VRWKV model(VRWKVOptions{.trunk = {.patch_size = 32, .width = width, .layers = layers}});
    std::map<std::string, at::Tensor> expected;
    for (const auto& [name, value] :
         fixture.with_prefix("v4.C" + std::to_string(width) + ".L" + std::to_string(layers) + ".layer"))
      expected["backbone.layers." + name] = value;
    expect_values(*model, expected);
  }
}

TEST(VRWKVInitial, of_local_and_global_models_are_the_same_in_every_channel) {
  for (const auto& [mode, decay, mix] : {std::tuple{VRWKVInit::local, 1.0, 1.0}, {VRWKVInit::global, 0.0, 0.5}}) {
    VRWKVOptions options = small_vrwkv();
    options.init_mode = mode;
    for (const auto& parameter : models::VRWKV(options)->named_parameters()) {
      const std::string& name = parameter.key();
      if (name.find("spatial_") == std::string::npos) continue;
      const double expected = name.find("spatial_mix_") == std::string::npos ? decay : mix;
      EXPECT_TRUE(at::equal(parameter.value(), at::full_like(parameter.value(), expected))) << name;
    }
  }
}

TEST(VRWKVInitial, matrices_are_drawn_as_the_form_of_the_model_has_them) {
  for (const ClassifierHead head : {ClassifierHead::fc, ClassifierHead::two_layer}) {
    VRWKVOptions options = small_vrwkv();
    options.trunk.width = 128;
    options.classifier.head = head;
    at::manual_seed(1);
    const auto parameters = models::VRWKV(options)->named_parameters();
    const at::Tensor& key = parameters["backbone.layers.1.att.key.weight"];
    const double uniform = 1 / std::sqrt(128.0 * 3);
    EXPECT_NEAR(key.std().item<double>() / (head == ClassifierHead::fc ? 0.02 : uniform), 1, 0.05);
    EXPECT_EQ(parameters["backbone.pos_embed"].count_nonzero().item<int64_t>(), 0);
  }
}

TEST(VRWKV, a_new_model_learns) {
  at::manual_seed(1);
  VRWKVOptions options = small_vrwkv();
  options.trunk.init_values = 1e-5;
  options.trunk.post_norm = true;
  models::VRWKV model(options);
  const at::Tensor images = at::randn({4, 3, 40, 32}), labels = at::arange(4);
  const auto loss = [&] { return at::cross_entropy_loss(model->forward(images), labels); };
  const double before = loss().item<double>();
  for (int step = 0; step < 5; ++step) {
    model->zero_grad();
    loss().backward();
    const at::NoGradGuard no_grad;
    for (const at::Tensor& parameter : model->parameters()) {
      ASSERT_TRUE(parameter.grad().defined());
      parameter.sub_(parameter.grad(), 0.5);
    }
  }
  EXPECT_LT(loss().item<double>(), before);
}

TEST(VRWKV, without_a_shift_has_no_mixes) {
  VRWKVOptions options = small_vrwkv();
  options.shift_pixel = 0;
  for (const auto& parameter : models::VRWKV(options)->named_parameters())
    EXPECT_EQ(parameter.key().find("spatial_mix"), std::string::npos) << parameter.key();
}

TEST(VRWKV, has_the_names_of_its_kind_of_file) {
  VRWKVOptions options = small_vrwkv();
  EXPECT_TRUE(models::VRWKV(options)->named_parameters().contains("head.fc.weight"));
  options.classifier.head = ClassifierHead::linear;
  EXPECT_TRUE(models::VRWKV(options)->named_parameters().contains("head.weight"));
  options.classifier.head = ClassifierHead::two_layer;
  EXPECT_TRUE(models::VRWKV(options)->named_parameters().contains("head.2.bias"));
  options.classifier = {.classes = 0, .backbone_prefix = false};
  EXPECT_TRUE(models::VRWKV(options)->named_parameters().contains("patch_embed.projection.weight"));
}

TEST(VRWKV, names_the_pipeline_of_its_published_form) {
  VRWKVOptions options = small_vrwkv();
  EXPECT_EQ(models::VRWKV(options)->preprocessing(), "mm224");
  options.classifier.head = ClassifierHead::two_layer;
  EXPECT_EQ(models::VRWKV(options)->preprocessing(), "vl384");
  options = small_vrwkv();
  options.trunk.layers = 13;
  EXPECT_EQ(models::VRWKV(options)->preprocessing(), "vl384");
}

TEST(VRWKV, a_backbone_has_features_and_no_logits) {
  VRWKVOptions options = small_vrwkv();
  options.classifier = {.classes = 0};
  models::VRWKV model(options);
  EXPECT_EQ(model->features(at::randn({1, 3, 32, 32}))[0].patches.sizes().vec(), (std::vector<int64_t>{1, 32, 4, 4}));
  EXPECT_THROW(model->forward(at::randn({1, 3, 32, 32})), Error);
}

TEST(VRWKV, has_its_norms_where_the_configuration_says_or_else_as_the_published_files_have_them) {
  PostNorm file;
  file.config = nlohmann::json::object();
  EXPECT_TRUE(file.options().trunk.post_norm);
  file.config = {{"post_norm", false}};
  EXPECT_FALSE(file.options().trunk.post_norm);
  file.config = {{"type", "VRWKV"}};  // upstream's default
  EXPECT_FALSE(file.options().trunk.post_norm);
  std::erase_if(file.weights, [](const auto& weight) { return weight.first.find("gamma") != std::string::npos; });
  file.config = nlohmann::json::object();
  EXPECT_FALSE(file.options().trunk.post_norm);
}

TEST(VRWKV, keeps_its_configuration_in_a_converted_file) {
  PostNorm file;
  file.config.update({{"post_norm", false}, {"shift_pixel", 2}, {"channel_gamma", 0.125}, {"out_indices", {0, 1}}});
  const ScratchFolder folder;
  const std::string output = (folder / "converted.safetensors").string();
  zoo::convert(file.write(), output, {.config = file.config.dump()});
  EXPECT_EQ(std::dynamic_pointer_cast<models::VRWKVImpl>(zoo::load(output))->options(), file.options());
}

TEST(VRWKV, is_told_from_a_backbone_without_prefix_too) {
  PostNorm file;
  std::map<std::string, at::Tensor> renamed;
  for (const auto& [name, value] : file.weights)
    if (name.starts_with("backbone.")) renamed[name.substr(std::string("backbone.").size())] = value;
  file.weights = renamed;
  file.config.erase("num_classes");
  EXPECT_EQ(file.load()->classes(), 0);
  EXPECT_TRUE(file.load()->named_parameters().contains("layers.0.gamma1"));
}

TEST(VRWKV, a_configuration_that_contradicts_the_tensors_or_makes_no_sense_is_refused) {
  const nlohmann::json kRefused[] = {{{"embed_dims", 64}},
                                     {{"depth", 3}},
                                     {{"patch_size", 16}},
                                     {{"img_size", 64}},
                                     {{"key_norm", true}},
                                     {{"final_norm", false}},
                                     {{"with_cls_token", true}},
                                     {{"output_cls_token", true}},
                                     {{"num_classes", 7}},
                                     {{"shift_pixel", 0}},
                                     {{"shift_pixel", -1}},
                                     {{"hidden_rate", 2}},
                                     {{"out_indices", {2}}},
                                     {{"out_indices", "all"}},
                                     {{"drop_path_rate", 1}},
                                     {{"channel_gamma", 0.5}},
                                     {{"compat_chunks", 8}},
                                     {{"post_norm", "yes"}},
                                     {{"init_mode", "other"}},
                                     {{"type", "VRWKV6"}},
                                     {{"in_channels", 1}},
                                     {{"shift_mode", "single_shift"}},
                                     {{"interpolate_mode", "nearest"}}};
  PostNorm file;
  const nlohmann::json own = file.config;
  EXPECT_NO_THROW(file.load());
  for (const nlohmann::json& refused : kRefused) {
    file.config = own;
    file.config.update(refused);
    EXPECT_THROW(file.load(), Error) << refused;
  }
}

TEST(VRWKV, layer_scale_that_the_file_lacks_is_refused) {
  PostNorm file;
  std::erase_if(file.weights, [](const auto& weight) { return weight.first.find("gamma") != std::string::npos; });
  EXPECT_THROW(file.load(), Error);
}

TEST(VRWKV, tensors_that_fit_no_model_are_refused) {
  const std::pair<const char*, std::vector<int64_t>> kShapes[] = {
      {"backbone.pos_embed", {1, 15, 32}},
      {"backbone.patch_embed.projection.weight", {32, 3, 8, 4}},
      {"backbone.patch_embed.projection.weight", {32, 1, 8, 8}},
      {"backbone.layers.0.att.key.weight", {32, 16}},
      {"backbone.layers.0.ffn.key.weight", {100, 32}},
      {"backbone.layers.0.ffn.key.weight", {16, 32}},
      {"backbone.layers.1.ln1.weight", {31}},
      {"head.fc.weight", {10, 31}}};
  for (const auto& [name, shape] : kShapes) {
    PostNorm file;
    ASSERT_TRUE(file.weights.contains(name));
    file.weights[name] = at::zeros(shape);
    EXPECT_THROW(file.load(), Error) << name;
  }
}

TEST(VRWKV, options_that_fit_no_model_are_refused) {
  const auto refused = [](const auto& change) {
    VRWKVOptions options = small_vrwkv();
    change(options);
    EXPECT_THROW(models::VRWKV{options}, Error);
  };
  refused([](auto& o) { o.trunk.patch_size = 0; });
  refused([](auto& o) { o.trunk.image_size = 7; });
  refused([](auto& o) { o.trunk.width = 0; });
  refused([](auto& o) { o.trunk.layers = 0; });
  refused([](auto& o) { o.trunk.hidden_rate = 0; });
  refused([](auto& o) { o.trunk.out_indices = {-5}; });
  refused([](auto& o) { o.trunk.drop_path_rate = NAN; });
  refused([](auto& o) { o.trunk.init_values = INFINITY; });
  refused([](auto& o) { o.trunk.output_class_token = true; });
  refused([](auto& o) { o.classifier.classes = -1; });
  refused([](auto& o) { o.channel_gamma = NAN; });
  refused([](auto& o) { o.compat_chunks = 1; });
}

}  // namespace
}  // namespace wkv::test
