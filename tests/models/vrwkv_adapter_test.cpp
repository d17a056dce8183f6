// The dense-prediction adapter: its parts and the whole of it against the published modules, and options that it
// refuses.
#include "wkv/models/vrwkv_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/module_values.h"
#include "models/vision_cases.h"
#include "vrwkv_adapter/deformable_attention.h"
#include "vrwkv_adapter/spatial_prior.h"

namespace wkv::test {
namespace {

using models::AdapterVariant;
using models::VRWKVAdapterOptions;

class SpatialPriorTraining : public testing::Test {
 protected:
  void SetUp() override {
    set_values(prior, fixture.with_prefix("w."));
    maps = prior.forward(fixture["in.x"]);
  }
  const Fixture fixture{test::golden("vrwkv_adapter/spm_train_64x96.safetensors")};
  models::SpatialPrior prior{/*inplanes=*/8, /*width=*/16};
  std::array<at::Tensor, 4> maps;
};

TEST_F(SpatialPriorTraining, gives_the_published_maps) {
  EXPECT_LT(relative_error(maps[0], fixture["out.c1"]), 1e-5);
  for (size_t i = 1; i < maps.size(); ++i)
    EXPECT_LT(relative_error(models::to_tokens(maps[i]), fixture["out.c" + std::to_string(i + 1)]), 1e-5);
}

TEST_F(SpatialPriorTraining, gives_the_published_gradients) {
  at::Tensor loss = (maps[0] * fixture["in.g1"]).sum();
  for (size_t i = 1; i < maps.size(); ++i)
    loss = loss + (models::to_tokens(maps[i]) * fixture["in.g" + std::to_string(i + 1)]).sum();
  loss.backward();
  const auto expected = fixture.with_prefix("grad.");
  EXPECT_EQ(expected.size(), prior.parameters().size());
  expect_gradients(prior, expected, 5e-5);
}

TEST_F(SpatialPriorTraining, moves_the_running_statistics_as_published) {
  const auto values = values_of(prior);
  const auto expected = fixture.with_prefix("state.");
  ASSERT_EQ(expected.size(), 18);
  for (const auto& [name, value] : expected) EXPECT_LT(relative_error(values.at(name), value), 1e-5) << name;
}

TEST_F(SpatialPriorTraining, is_over_once_it_evaluates) {
  const auto before = values_of(prior).at("stem.1.running_mean").clone();
  prior.eval();
  const auto evaluated = prior.forward(fixture["in.x"]);
  EXPECT_TRUE(at::equal(values_of(prior).at("stem.1.running_mean"), before));
  EXPECT_GT(relative_error(evaluated[0], maps[0]), 1e-3);
}

class PublishedAdapter : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string name = "vrwkv_adapter/" + GetParam();
    if (!has_golden(name)) GTEST_SKIP() << golden(name + ".safetensors").string() << " is not there";
    golden_model = std::make_unique<GoldenVisionModel>(name);
  }
  void expect_maps(at::ScalarType dtype, const std::string& suffix, double tolerance) const {
    const auto maps = golden_model->load(dtype)->features(golden_model->images());
    ASSERT_EQ(maps.size(), 4);
    for (size_t i = 0; i < maps.size(); ++i) {
      const at::Tensor& expected = golden_model->fixture["out.f" + std::to_string(i + 1) + suffix];
      EXPECT_EQ(maps[i].patches.sizes(), expected.sizes());
      EXPECT_LT(relative_error(maps[i].patches, expected), tolerance) << "map " << i + 1;
    }
  }
  at::Tensor loss(models::VisionModel& model) const {
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (size_t i = 0; const auto& map : model.features(golden_model->images()))
      sum = sum + (map.patches * golden_model->fixture["in.g" + std::to_string(++i)]).sum();
    return sum;
  }
  std::unique_ptr<GoldenVisionModel> golden_model;
};

TEST_P(PublishedAdapter, gives_the_published_maps) { expect_maps(at::kFloat, "", 2e-5); }

TEST_P(PublishedAdapter, is_exact_in_fp64) { expect_maps(at::kDouble, "", 1e-6); }

TEST_P(PublishedAdapter, is_close_in_bf16) { expect_maps(at::kBFloat16, "", 0.2); }

TEST_P(PublishedAdapter, gives_the_maps_of_the_published_kernels_where_it_is_asked_for) {
  golden_model->config["compat_chunks"] = 32;
  expect_maps(at::kFloat, "_upstream", 5e-5);
}

TEST_P(PublishedAdapter, gives_the_published_gradients) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-4}, {at::kDouble, 1e-6}}) {
    const auto model = golden_model->load(dtype);
    loss(*model).backward();
    const auto expected = golden_model->fixture.with_prefix("grad.");
    EXPECT_EQ(expected.size(), model->parameters().size());
    expect_gradients(*model, expected, tolerance);
  }
}

TEST_P(PublishedAdapter, gives_the_same_gradients_with_checkpointing) {
  const auto gradients = [&](bool checkpointing) {
    golden_model->config["with_cp"] = checkpointing;
    golden_model->config["drop_path_rate"] = 0.5;
    const auto model = golden_model->load(at::kDouble);
    model->train();
    at::manual_seed(1);
    loss(*model).backward();
    std::map<std::string, at::Tensor> found;
    for (const auto& parameter : model->named_parameters()) found[parameter.key()] = parameter.value().grad();
    return found;
  };
  const auto plain = gradients(false), again = gradients(true);
  for (const auto& [name, gradient] : plain) {
    ASSERT_EQ(again.at(name).defined(), gradient.defined()) << name;
    if (!gradient.defined()) continue;
    EXPECT_LT(relative_error(again.at(name), gradient), 1e-9) << name;
  }
}

TEST_P(PublishedAdapter, has_the_names_of_its_file) {
  const auto values = values_of(*golden_model->load());
  EXPECT_EQ(values.size(), golden_model->weights.size());
  for (const auto& [name, weight] : golden_model->weights) EXPECT_TRUE(values.contains(name)) << name;
}

TEST_P(PublishedAdapter, leaves_no_key_of_the_configuration_unknown) {
  EXPECT_THAT(zoo::describe(golden_model->write(), {.config = golden_model->config.dump()}).unknown_config_keys,
              testing::IsEmpty());
}

TEST_P(PublishedAdapter, is_told_again_from_its_own_configuration) {
  const auto options = golden_model->load<models::VRWKVAdapterImpl>()->options();
  golden_model->config = nlohmann::json::parse(models::VRWKVAdapterImpl(options, false).config_json());
  EXPECT_EQ(golden_model->load<models::VRWKVAdapterImpl>()->options(), options);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedAdapter,
                         testing::Values("det_64x96", "det_keynorm_ratio05_96x64", "seg_96x64",
                                         "det_prenorm_2blocks_noextra_64x64"),
                         [](const auto& test_info) { return test_info.param; });

// The published sizes, as the specification of the published detectors has them.
VRWKVAdapterOptions published_adapter(int64_t width, int64_t layers, int64_t heads, double ratio) {
  models::VRWKVOptions backbone = {.trunk = {.width = width, .layers = layers, .init_values = 1e-5}};
  backbone.trunk.post_norm = width > 192;
  if (width == 1024) {
    backbone.trunk.image_size = 192;
    backbone.trunk.key_norm = true;
  }
  return {.backbone = backbone, .deform_num_heads = heads, .deform_ratio = ratio};
}

TEST(VRWKVAdapter, of_the_published_sizes_has_the_published_names_and_shapes) {
  const auto path = test::golden("vrwkv_adapter/key_manifests.json");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto manifests = nlohmann::json::parse(std::ifstream(path));
  for (const auto& [name, options] : {std::pair{"det_tiny", published_adapter(192, 12, 6, 1)},
                                      {"det_small", published_adapter(384, 12, 6, 1)},
                                      {"det_base", published_adapter(768, 12, 12, 0.5)},
                                      {"det_large", published_adapter(1024, 24, 16, 0.5)}}) {
    const models::VRWKVAdapter model(options, /*initialise=*/false);
    const auto& published = manifests.at(name).at("keys");
    const auto values = values_of(*model);
    EXPECT_EQ(values.size(), published.size()) << name;
    for (const auto& [key, facts] : published.items()) {
      ASSERT_TRUE(values.contains(key)) << key;
      EXPECT_EQ(values.at(key).sizes().vec(), facts.at(1).get<std::vector<int64_t>>()) << key;
    }
    int64_t parameters = 0;
    for (const auto& parameter : model->parameters()) parameters += parameter.numel();
    EXPECT_EQ(parameters, manifests.at(name).at("params").get<int64_t>()) << name;
  }
}

// Two interactions around a block each.
VRWKVAdapterOptions small_adapter(bool six) {
  const models::VisionTrunkOptions trunk = {.image_size = 64, .width = 32, .layers = 2, .init_values = 1};
  VRWKVAdapterOptions options{.conv_inplane = 4, .deform_num_heads = 4, .interaction_indexes = {{0, 0}, {1, 1}}};
  options.backbone = models::VRWKVOptions{.trunk = trunk};
  if (six) options.backbone = models::VRWKV6Options{.trunk = trunk, .head_size = 16};
  return options;
}

models::VRWKVAdapter new_adapter(bool six) {
  at::manual_seed(1);
  models::VRWKVAdapter model(small_adapter(six));
  for (auto& [name, value] : values_of(*model))
    if (value.is_floating_point()) value.set_data(value.to(at::kDouble));
  model->eval();
  return model;
}

at::Tensor some_images(at::IntArrayRef sizes = {2, 3, 64, 96}) {
  at::manual_seed(2);
  return at::randn(sizes, at::kDouble);
}

TEST(VRWKV6Adapter, gives_maps_at_the_four_strides) {
  auto model = new_adapter(/*six=*/true);
  EXPECT_EQ(model->family(), "vrwkv6_adapter");
  const auto maps = model->features(some_images());
  ASSERT_EQ(maps.size(), 4);
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(maps[static_cast<size_t>(i)].patches.sizes(), at::IntArrayRef({2, 32, 16 >> i, 24 >> i}));
}

TEST(VRWKV6Adapter, has_the_gradients_of_its_finite_differences) {
  auto model = new_adapter(/*six=*/true);
  const at::Tensor images = some_images();
  const auto loss = [&] {
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const auto& map : model->features(images)) sum = sum + map.patches.square().mean();
    return sum;
  };
  {
    // Away from the initial values: there the places that are looked at lie where interpolation has a kink.
    const at::NoGradGuard no_grad;
    for (auto& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.05);
  }
  loss().backward();
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    const at::Tensor &value = parameter.value(), gradient = value.grad();
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    const at::Tensor direction = at::randn_like(value);
    constexpr double kStep = 1e-6;
    const auto moved = [&](double step) {
      value.add_(direction, step);
      const double result = loss().item<double>();
      value.add_(direction, -step);
      return result;
    };
    const double difference = (moved(kStep) - moved(-kStep)) / (2 * kStep),
                 expected = (gradient * direction).sum().item<double>();
    EXPECT_NEAR(difference, expected, 1e-6 + 1e-4 * std::abs(expected)) << parameter.key();
  }
}

TEST(VRWKV6Adapter, is_told_from_its_file) {
  auto model = new_adapter(/*six=*/true);
  const ScratchFolder folder;
  const auto values = values_of(*model);
  zoo::write_safetensors(folder / "model.safetensors", {values.begin(), values.end()});
  const auto loaded = std::dynamic_pointer_cast<models::VRWKVAdapterImpl>(
      zoo::load((folder / "model.safetensors").string(), {.config = model->config_json()}));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->options(), model->options());
  EXPECT_EQ(loaded->family(), "vrwkv6_adapter");
  EXPECT_TRUE(at::equal(loaded->features(some_images())[3].patches, model->features(some_images())[3].patches));
}

TEST(VRWKVAdapter, starts_from_offsets_that_look_around_each_place) {
  const auto values = values_of(*models::VRWKVAdapter(small_adapter(/*six=*/false)));
  const at::Tensor bias = values.at("interactions.1.injector.attn.sampling_offsets.bias").view({4, 3, 4, 2});
  const at::Tensor directions = at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0}).view({4, 2});
  for (int64_t point = 0; point < 4; ++point) {
    for (int64_t level = 0; level < 3; ++level) {
      const at::Tensor offsets = bias.select(1, level).select(1, point);
      EXPECT_LT(absolute_error(offsets, directions * (point + 1)), 1e-6);
    }
  }
  EXPECT_EQ(values.at("interactions.0.extractor.attn.attention_weights.weight").count_nonzero().item<int64_t>(), 0);
}

TEST(VRWKVAdapter, draws_paths_in_training_only) {
  VRWKVAdapterOptions options = small_adapter(/*six=*/false);
  std::get<models::VRWKVOptions>(options.backbone).trunk.drop_path_rate = 0.5;
  models::VRWKVAdapter model(options);
  const at::Tensor images = some_images({8, 3, 32, 32});
  const auto map = [&] { return model->features(images)[3].patches; };
  EXPECT_FALSE(at::equal(map(), map()));
  model->eval();
  EXPECT_TRUE(at::equal(map(), map()));
}

TEST(VRWKVAdapter, refuses_sides_that_are_no_multiples_of_32) {
  auto model = new_adapter(/*six=*/false);
  for (const auto& [height, width] : {std::pair{48, 64}, {64, 33}, {16, 16}}) {
    try {
      model->features(some_images({1, 3, height, width}));
      ADD_FAILURE() << height << " x " << width;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("images: expected sides that are multiples of 32"));
    }
  }
}

TEST(VRWKVAdapter, has_no_logits) { EXPECT_THROW(new_adapter(/*six=*/false)->forward(some_images()), Error); }

TEST(VRWKVAdapterOptions, that_fit_no_model_are_refused) {
  const auto with = [](const auto& change) {
    VRWKVAdapterOptions options = small_adapter(/*six=*/false);
    change(options);
    return options;
  };
  using Options = VRWKVAdapterOptions;
  const auto trunk = [](Options & o) -> auto& { return std::get<models::VRWKVOptions>(o.backbone).trunk; };
  for (const Options& options : {
           with([](Options& o) {
             o.interaction_indexes = {{0, 0}};
           }),
           with([](Options& o) {
             o.interaction_indexes = {{0, 0}, {0, 1}};
           }),
           with([](Options& o) {
             o.interaction_indexes = {{1, 1}, {0, 0}};
           }),
           with([](Options& o) {
             o.interaction_indexes = {{0, 2}};
           }),
           with([](Options& o) {
             o.interaction_indexes = {{0, 1}, {2, 1}};
           }),
           with([](Options& o) { o.interaction_indexes.clear(); }),
           with([](Options& o) { o.variant = AdapterVariant::segmentation; }),
           with([](Options& o) { o.deform_num_heads = 5; }),
           with([](Options& o) { o.deform_num_heads = 0; }),
           with([](Options& o) { o.n_points = 0; }),
           with([](Options& o) { o.conv_inplane = -1; }),
           with([](Options& o) { o.deform_ratio = 0.3; }),
           with([](Options& o) { o.deform_ratio = -1; }),
           with([](Options& o) { o.cffn_ratio = std::nan(""); }),
           with([&](Options& o) { trunk(o).patch_size = 8; }),
           with([&](Options& o) { trunk(o).class_token = true; }),
       }) {
    EXPECT_THROW(models::VRWKVAdapterImpl(options, false), Error) << nlohmann::json(options.interaction_indexes);
  }
}

}  // namespace
}  // namespace wkv::test
