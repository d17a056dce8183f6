// The families of which no golden file has a whole model; the others: tests/python/test_export.py.
#include "wkv/zoo/export_torchscript.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>

#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/models/vrwkv_segmenter.h"

namespace wkv::test {
namespace {

const models::VisionTrunkOptions small_trunk = {.image_size = 64, .width = 32, .layers = 4, .init_values = 1};

std::shared_ptr<models::VisionModel> adapter_of_vrwkv6() {
  return std::make_shared<models::VRWKVAdapterImpl>(
      models::VRWKVAdapterOptions{.backbone = models::VRWKV6Options{.trunk = small_trunk, .head_size = 16},
                                  .conv_inplane = 4,
                                  .deform_num_heads = 4});
}

// Of windows of 64 x 64.
std::shared_ptr<models::VisionModel> segmenter() {
  models::VRWKVSegmenterOptions options{.channels = 8, .num_classes = 5, .auxiliary_channels = 0, .window = 64};
  options.stride = 48;
  options.backbone.backbone = models::VRWKVOptions{.trunk = small_trunk};
  options.backbone.conv_inplane = 4;
  options.backbone.deform_num_heads = 4;
  return std::make_shared<models::VRWKVSegmenterImpl>(options);
}

// The exported module, for images of 2 x 3 x side x side.
torch::jit::Module exported(const std::shared_ptr<models::VisionModel>& model, int64_t side) {
  const ScratchFolder folder;
  const std::string path = (folder / "model.pt").string();
  zoo::export_torchscript(model, path, {.batch = 2, .image = side});
  return torch::jit::load(path);
}

at::Tensor some_images(int64_t side) {
  at::manual_seed(1);
  return at::randn({2, 3, side, side});
}

TEST(ExportTorchScript, of_an_adapter_of_vrwkv6_gives_its_maps) {
  const auto model = adapter_of_vrwkv6();
  model->eval();
  torch::jit::Module module = exported(model, 64);
  const at::Tensor images = some_images(64);
  const auto maps = model->features(images);
  const auto results = module.get_method("features")({images}).toTensorVector();
  ASSERT_EQ(results.size(), maps.size());
  for (size_t i = 0; i < maps.size(); ++i) EXPECT_TRUE(at::allclose(results[i], maps[i].patches, 1e-5, 1e-5)) << i;
}

TEST(ExportTorchScript, of_a_segmenter_gives_the_logits_of_all_its_windows) {
  const auto model = segmenter();
  model->eval();
  torch::jit::Module module = exported(model, 96);
  const at::Tensor images = some_images(96);
  EXPECT_TRUE(at::allclose(module.forward({images}).toTensor(), model->forward(images), 1e-5, 1e-5));
}

TEST(ExportTorchScript, refuses_a_model_in_training) {
  const auto model = segmenter();
  model->train();
  EXPECT_THROW(exported(model, 96), Error);
}

}  // namespace
}  // namespace wkv::test
