// The contrastive loss in one process; tests/python/test_contrastive_loss.py has several.
#include "wkv/models/contrastive_loss.h"

#include <gtest/gtest.h>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"

namespace wkv::test {
namespace {

using models::contrastive_loss;

TEST(ContrastiveLoss, and_its_gradients_are_the_published_ones) {
  const Fixture fixture(test::golden("rwkv_clip/loss_distributed.safetensors"));
  for (const auto& [dtype, tolerance] : {std::pair(at::kFloat, 1e-6), {at::kDouble, 1e-12}}) {
    const auto input = [&, type = dtype](const char* name) { return fixture[name].to(type).clone().requires_grad_(); };
    const at::Tensor image = input("in.image_features"), text = input("in.text_features");
    const at::Tensor log_scale = at::scalar_tensor(2.3, dtype).requires_grad_();  // what in.log_scale holds in fp32
    const at::Tensor loss = contrastive_loss(image, text, log_scale.exp());
    loss.backward();
    EXPECT_LT(relative_error(loss, fixture["single.loss"]), tolerance);
    EXPECT_LT(relative_error(image.grad(), fixture["single.grad.image"]), tolerance);
    EXPECT_LT(relative_error(text.grad(), fixture["single.grad.text"]), tolerance);
    EXPECT_LT(relative_error(log_scale.grad(), fixture["single.grad.log_scale"]), tolerance);
  }
}

TEST(ContrastiveLoss, does_not_depend_on_the_features_lengths) {
  const at::Tensor image = at::randn({3, 5}), text = at::randn({3, 5}), scale = at::scalar_tensor(10.0);
  EXPECT_LT(relative_error(contrastive_loss(image * 7, text * 0.1, scale), contrastive_loss(image, text, scale)), 1e-5);
}

TEST(ContrastiveLoss, of_half_precision_is_fp32) {
  const at::Tensor x = at::randn({3, 5}).to(at::kBFloat16);
  EXPECT_EQ(contrastive_loss(x, x, at::scalar_tensor(10.0)).scalar_type(), at::kFloat);
}

TEST(ContrastiveLoss, of_one_pair_is_0) {
  EXPECT_EQ(contrastive_loss(at::randn({1, 5}), at::randn({1, 5}), at::scalar_tensor(10.0)).item<float>(), 0);
}

TEST(ContrastiveLoss, refuses_features_of_other_shapes) {
  const at::Tensor x = at::ones({3, 5}), scale = at::ones({});
  EXPECT_THROW(contrastive_loss(x, at::ones({2, 5}), scale), Error);
  EXPECT_THROW(contrastive_loss(at::ones({5}), at::ones({5}), scale), Error);
  EXPECT_THROW(contrastive_loss(at::ones({0, 5}), at::ones({0, 5}), scale), Error);
  EXPECT_THROW(contrastive_loss(x.to(at::kLong), x, scale), Error);
  EXPECT_THROW(contrastive_loss(x, x, at::ones({3})), Error);
  EXPECT_THROW(contrastive_loss(x, x, {}), Error);
}

}  // namespace
}  // namespace wkv::test
