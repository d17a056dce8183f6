// The segmenter: its heads against the published ones, and what it makes of whole images.
#include "wkv/models/vrwkv_segmenter.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/module_values.h"
#include "models/vision_cases.h"
#include "vrwkv_segmenter/sliding_window.h"
#include "vrwkv_segmenter/uper_head.h"

namespace wkv::test {
namespace {

using models::VRWKVSegmenterOptions;

class PixelHeads : public testing::Test {
 protected:
  void SetUp() override {
    set_values(head, fixture.with_prefix("w.decode_head."));
    set_values(auxiliary, fixture.with_prefix("w.auxiliary_head."));
    head.eval();
    auxiliary.eval();
    for (size_t i = 0; i < maps.size(); ++i)
      maps[i] = fixture["in.f" + std::to_string(i + 1)].clone().requires_grad_(true);
  }
  static constexpr models::PixelHeadSizes kSizes = {.in = 8, .channels = 12, .classes = 5, .dropout = 0.1};
  const Fixture fixture{test::golden("vrwkv_adapter/uper_head.safetensors")};
  models::UPerHead head{kSizes};
  models::FCNHead auxiliary{kSizes};
  std::array<at::Tensor, 4> maps;
};

TEST_F(PixelHeads, give_the_published_logits) {
  EXPECT_LT(relative_error(head.forward(maps), fixture["out.logits"]), 1e-5);
  EXPECT_LT(relative_error(auxiliary.forward(maps[2]), fixture["out.aux_logits"]), 1e-5);
}

TEST_F(PixelHeads, give_the_published_gradients) {
  (head.forward(maps) * fixture["in.gy"]).sum().backward();
  const auto expected = fixture.with_prefix("grad.decode_head.");
  EXPECT_EQ(expected.size(), head.parameters().size());
  expect_gradients(head, expected, 5e-5);
  for (size_t i = 0; i < maps.size(); ++i)
    EXPECT_LT(relative_error(maps[i].grad(), fixture["grad.in.f" + std::to_string(i + 1)]), 5e-5);
}

TEST_F(PixelHeads, drop_channels_in_training_only) {
  EXPECT_TRUE(at::equal(head.forward(maps), head.forward(maps)));
  head.train();
  for (at::Tensor& map : maps) map = map.expand({2, -1, -1, -1});
  EXPECT_FALSE(at::equal(head.forward(maps), head.forward(maps)));
}

TEST_F(PixelHeads, refuse_to_train_on_one_pooled_value) {
  head.train();
  EXPECT_THROW(head.forward(maps), Error);
}

TEST(SlidingWindow, starts_at_every_stride_and_ends_where_the_side_does) {
  using Starts = std::vector<int64_t>;
  for (const auto& [side, expected] : {std::pair<int64_t, Starts>{300, {0}},
                                       {512, {0}},
                                       {513, {0, 1}},
                                       {853, {0, 341}},
                                       {854, {0, 341, 342}},
                                       {2048, {0, 341, 682, 1023, 1364, 1536}}}) {
    EXPECT_EQ(models::window_starts(side, 512, 341), expected) << side;
  }
}

// A segmenter of 64 x 64 windows over a trunk of four blocks.
VRWKVSegmenterOptions small_segmenter() {
  VRWKVSegmenterOptions options;
  options.backbone.backbone =
      models::VRWKVOptions{.trunk = {.image_size = 64, .width = 16, .layers = 4, .init_values = 1}};
  options.backbone.conv_inplane = 4;
  options.backbone.deform_num_heads = 2;
  options.channels = 8;
  options.num_classes = 5;
  options.auxiliary_channels = 6;
  options.window = 64;
  options.stride = 48;
  return options;
}

models::VRWKVSegmenter new_segmenter(const VRWKVSegmenterOptions& options = small_segmenter()) {
  at::manual_seed(1);
  models::VRWKVSegmenter model(options);
  model->eval();
  return model;
}

at::Tensor some_pictures(at::IntArrayRef sizes) {
  at::manual_seed(2);
  return at::randn(sizes);
}

TEST(VRWKVSegmenter, gives_logits_of_every_pixel) {
  const auto logits = new_segmenter()->forward(some_pictures({2, 3, 64, 32}));
  EXPECT_EQ(logits.sizes(), at::IntArrayRef({2, 5, 64, 32}));
}

TEST(VRWKVSegmenter, gives_the_features_of_its_adapter) {
  const at::Tensor images = some_pictures({1, 3, 64, 64});
  auto segmenter = new_segmenter();
  models::VRWKVAdapter adapter(segmenter->options().backbone);
  auto values = values_of(*segmenter);
  std::erase_if(values, [](const auto& value) { return !value.first.starts_with("backbone."); });
  set_values(*adapter, values);
  adapter->eval();
  EXPECT_TRUE(at::equal(segmenter->features(images)[2].patches, adapter->features(images)[2].patches));
}

TEST(VRWKVSegmenter, averages_windows_where_they_overlap) {
  auto windows = new_segmenter();
  VRWKVSegmenterOptions options = small_segmenter();
  options.window = 0;
  auto whole = new_segmenter(options);
  const at::Tensor images = some_pictures({1, 3, 64, 112});
  const at::Tensor logits = windows->forward(images), left = whole->forward(images.narrow(3, 0, 64)),
                   right = whole->forward(images.narrow(3, 48, 64));
  EXPECT_LT(relative_error(logits.narrow(3, 0, 48), left.narrow(3, 0, 48)), 1e-5);
  EXPECT_LT(relative_error(logits.narrow(3, 48, 16), (left.narrow(3, 48, 16) + right.narrow(3, 0, 16)) / 2), 1e-5);
  EXPECT_LT(relative_error(logits.narrow(3, 64, 48), right.narrow(3, 16, 48)), 1e-5);
}

TEST(VRWKVSegmenter, takes_images_of_any_size_from_its_window_on) {
  EXPECT_EQ(new_segmenter()->forward(some_pictures({1, 3, 65, 97})).sizes(), at::IntArrayRef({1, 5, 65, 97}));
}

TEST(VRWKVSegmenter, refuses_smaller_images_whose_sides_are_no_multiples_of_32) {
  EXPECT_THROW(new_segmenter()->forward(some_pictures({1, 3, 64, 40})), Error);
}

TEST(VRWKVSegmenter, learns_with_both_heads) {
  auto model = new_segmenter();
  model->train();
  const at::Tensor images = some_pictures({2, 3, 64, 64});
  const at::Tensor labels = (images.select(1, 0) > 0).to(at::kLong);
  const auto loss = [&] {
    const auto [decode, auxiliary] = model->head_logits(images);
    return at::cross_entropy_loss(decode, labels) + 0.4 * at::cross_entropy_loss(auxiliary, labels);
  };
  const double before = loss().item<double>();
  for (int step = 0; step < 8; ++step) {
    model->zero_grad();
    loss().backward();
    const at::NoGradGuard no_grad;
    for (auto& parameter : model->parameters())
      if (parameter.grad().defined()) parameter.sub_(parameter.grad(), 0.1);
  }
  EXPECT_LT(loss().item<double>(), 0.9 * before);
}

TEST(VRWKVSegmenterOptions, that_fit_no_model_are_refused) {
  const auto with = [](const auto& change) {
    VRWKVSegmenterOptions options = small_segmenter();
    change(options);
    return options;
  };
  using Options = VRWKVSegmenterOptions;
  for (const Options& options : {
           with([](Options& o) { o.channels = 0; }),
           with([](Options& o) { o.num_classes = 0; }),
           with([](Options& o) { o.auxiliary_channels = -1; }),
           with([](Options& o) { o.dropout_ratio = 1; }),
           with([](Options& o) { o.window = 40; }),
           with([](Options& o) { o.window = -32; }),
           with([](Options& o) { o.stride = 0; }),
           with([](Options& o) { o.stride = 65; }),
           with([](Options& o) { o.backbone.conv_inplane = 0; }),
       }) {
    EXPECT_THROW(models::VRWKVSegmenterImpl(options, false), Error);
  }
}

// Files.

class SegmenterFile : public testing::Test {
 protected:
  std::string write() const {
    zoo::write_safetensors(folder / "model.safetensors", {weights.begin(), weights.end()});
    return (folder / "model.safetensors").string();
  }
  std::shared_ptr<models::VRWKVSegmenterImpl> load() const {
    return std::dynamic_pointer_cast<models::VRWKVSegmenterImpl>(zoo::load(write(), {.config = config.dump()}));
  }
  models::VRWKVSegmenter model = new_segmenter();
  std::map<std::string, at::Tensor> weights = values_of(*model);
  nlohmann::json config = nlohmann::json::parse(model->config_json());
  const ScratchFolder folder;
};

TEST_F(SegmenterFile, gives_the_model_again) {
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->options(), model->options());
  const at::Tensor images = some_pictures({1, 3, 64, 64});
  // Not bit for bit: PyTorch's products may sum in another order where the weights are aligned otherwise.
  EXPECT_LT(relative_error(loaded->forward(images), model->forward(images)), 1e-6);
  const auto description = zoo::describe(write(), {.config = config.dump()});
  EXPECT_EQ(description.family, "vrwkv_segmenter");
  EXPECT_THAT(description.unknown_config_keys, testing::IsEmpty());
}

TEST_F(SegmenterFile, gives_a_segmentation_adapter_and_published_windows_where_nothing_says_otherwise) {
  for (const char* key : {"variant", "window", "stride"}) config.erase(key);
  const auto options = load()->options();
  EXPECT_EQ(options.backbone.variant, models::AdapterVariant::segmentation);
  EXPECT_EQ(options.window, 512);
  EXPECT_EQ(options.stride, 341);
}

TEST_F(SegmenterFile, may_come_without_an_auxiliary_head) {
  std::erase_if(weights, [](const auto& weight) { return weight.first.starts_with("auxiliary_head."); });
  config["auxiliary_channels"] = 0;
  EXPECT_FALSE(load()->head_logits(some_pictures({1, 3, 32, 32})).auxiliary.defined());
}

TEST_F(SegmenterFile, gives_its_adapter_alone_where_that_is_asked_for) {
  const auto adapter = zoo::load(write(), {.config = config.dump(), .family = "vrwkv_adapter"});
  EXPECT_EQ(adapter->family(), "vrwkv_adapter");
}

TEST_F(SegmenterFile, is_refused_where_its_configuration_or_its_shapes_contradict_it) {
  for (const auto& [key, value] : {std::pair{"num_classes", 150}, {"channels", 512}, {"auxiliary_channels", 256}}) {
    const auto before = config;
    config[key] = value;
    EXPECT_THROW(load(), Error) << key;
    config = before;
  }
  for (const char* name : {"decode_head.conv_seg.weight", "decode_head.fpn_bottleneck.conv.weight",
                           "auxiliary_head.conv_seg.weight", "decode_head.lateral_convs.0.bn.running_var"}) {
    const auto before = weights;
    weights[name] = at::ones({1 << 20, 3, 1, 1});
    EXPECT_THROW(load(), Error) << name;
    weights = before;
  }
}

}  // namespace
}  // namespace wkv::test
