// The segmenter: its heads against the published ones, and what it does with whole images.
#include <gtest/gtest.h>

#include "models/module_values.h"
#include "models/vision_cases.h"
#include "vrwkv_segmenter/uper_head.h"
#include "wkv/error.h"

namespace wkv::test {
namespace {

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
  const at::Tensor logits = head.forward(maps);
  EXPECT_LT(relative_error(logits, fixture["out.logits"]), 1e-5);
  EXPECT_LT(relative_error(models::resize_bilinear(logits, 64, 96), fixture["out.upsampled4x"]), 1e-5);
  EXPECT_LT(relative_error(auxiliary.forward(maps[2]), fixture["out.aux_logits"]), 1e-5);
}

TEST_F(PixelHeads, give_the_published_gradients) {
  (head.forward(maps) * fixture["in.gy"]).sum().backward();
  expect_gradients(head, fixture.with_prefix("grad.decode_head."), 5e-5);
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

}  // namespace
}  // namespace wkv::test
