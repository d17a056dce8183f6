// What both generations have from their trunk: images of any size, drop path, gradient checkpointing.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "layers/checkpointed.h"
#include "layers/drop_path.h"
#include "layers/position_embedding.h"
#include "support/fixture.h"
#include "wkv/models/vrwkv.h"
#include "wkv/models/vrwkv6.h"

namespace wkv::test {
namespace {

models::VisionTrunkOptions small_trunk() { return {.image_size = 32, .patch_size = 8, .width = 32, .layers = 3}; }

// Both generations with these options; values drawn anew, so that no branch is without effect.
std::vector<std::shared_ptr<models::VisionModel>> both(const models::VisionTrunkOptions& trunk) {
  at::manual_seed(7);
  const models::ClassifierOptions classifier{.classes = 5};
  std::vector<std::shared_ptr<models::VisionModel>> models = {
      std::make_shared<models::VRWKVImpl>(models::VRWKVOptions{.trunk = trunk, .classifier = classifier}),
      std::make_shared<models::VRWKV6Impl>(
          models::VRWKV6Options{.trunk = trunk, .classifier = classifier, .head_size = 16})};
  const at::NoGradGuard no_grad;
  for (const auto& model : models)
    for (const at::Tensor& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.1);
  return models;
}

TEST(Positions, of_their_own_grid_are_taken_as_they_are) {
  const at::Tensor positions = at::randn({1, 16, 8});
  EXPECT_TRUE(at::equal(models::positions_for(positions, 4, {4, 4}), positions));
}

TEST(Positions, of_another_grid_keep_a_constant_and_the_orientation) {
  const at::Tensor rows = at::arange(4).view({4, 1, 1}).expand({4, 4, 1}).reshape({1, 16, 1}).to(at::kFloat);
  const at::Tensor resized = models::positions_for(rows, 4, {8, 3}).view({8, 3});
  EXPECT_LT(absolute_error(resized.select(1, 0), resized.select(1, 2)), 1e-6);
  EXPECT_GT((resized[7][0] - resized[0][0]).item<double>(), 2.5);
  EXPECT_LT(absolute_error(models::positions_for(at::ones_like(rows), 4, {5, 7}), at::ones({1, 35, 1})), 1e-6);
}

TEST(VisionTrunk, pads_images_at_the_right_and_at_the_bottom) {
  const at::Tensor images = at::randn({2, 3, 13, 30});
  const at::Tensor padded = at::constant_pad_nd(images, {0, 2, 0, 3});
  for (const auto& model : both(small_trunk()))
    EXPECT_TRUE(at::equal(model->forward(images), model->forward(padded))) << model->family();
}

TEST(VisionTrunk, takes_images_of_any_size) {
  for (const auto& model : both(small_trunk())) {
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {8, 8}, {100, 9}}) {
      const at::Tensor logits = model->forward(at::randn({1, 3, height, width}));
      EXPECT_TRUE(logits.isfinite().all().item<bool>()) << model->family() << ' ' << height << " x " << width;
    }
  }
}

TEST(VisionTrunk, takes_images_in_another_floating_point_dtype) {
  const at::Tensor images = at::randn({1, 3, 32, 32});
  for (const auto& model : both(small_trunk()))
    EXPECT_TRUE(at::equal(model->forward(images.to(at::kDouble)), model->forward(images)));
}

TEST(VisionTrunk, sees_each_image_by_itself) {
  const at::Tensor images = at::randn({3, 3, 32, 24});
  for (const auto& model : both(small_trunk()))
    EXPECT_LT(relative_error(model->forward(images).narrow(0, 1, 1), model->forward(images.narrow(0, 1, 1))), 1e-6);
}

TEST(DropPath, leaves_out_the_share_of_samples_that_it_should_and_scales_the_rest) {
  at::manual_seed(3);
  const at::Tensor path = models::draw_path(at::empty({10000, 4, 2}), 0.3, /*training=*/true);
  EXPECT_EQ(path.sizes().vec(), (std::vector<int64_t>{10000, 1, 1}));
  EXPECT_NEAR(path.eq(0).to(at::kFloat).mean().item<double>(), 0.3, 0.02);
  EXPECT_LT(absolute_error(path.max(), at::full({}, 1 / 0.7)), 1e-6);
}

TEST(DropPath, leaves_out_nothing_in_evaluation) {
  EXPECT_FALSE(models::draw_path(at::empty({4, 1, 1}), 0.3, /*training=*/false).defined());
  models::VisionTrunkOptions trunk = small_trunk();
  trunk.drop_path_rate = 0.5;
  const at::Tensor images = at::randn({8, 3, 32, 32});
  for (const auto& model : both(trunk)) {
    const at::Tensor trained = model->forward(images);
    model->eval();
    const at::Tensor once = model->forward(images);
    EXPECT_TRUE(at::equal(model->forward(images), once));
    EXPECT_FALSE(at::equal(trained, once));
  }
}

TEST(DropPath, rises_from_the_first_block_to_the_last) {
  for (const auto& [layer, rate] : {std::pair<int64_t, double>{0, 0}, {1, 0.2}, {2, 0.4}})
    EXPECT_DOUBLE_EQ(models::path_rate(0.4, layer, 3), rate);
  EXPECT_EQ(models::path_rate(0.4, 0, 1), 0);
}

TEST(Checkpointing, changes_neither_logits_nor_gradients) {
  for (const bool autocast : {false, true}) {
    models::VisionTrunkOptions trunk = small_trunk();
    trunk.init_values = 0.5;
    trunk.drop_path_rate = 0.5;
    const auto plain = both(trunk);
    trunk.checkpointing = true;
    const auto recomputing = both(trunk);
    at::Tensor images = at::randn({4, 3, 32, 40}).requires_grad_(true);
    const auto run = [&](models::VisionModel& model) {
      at::manual_seed(11);  // of the samples that are left out
      at::autocast::set_autocast_enabled(at::kCPU, autocast);
      const at::Tensor logits = model.forward(images);
      at::autocast::clear_cache();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      images.mutable_grad() = at::Tensor();
      logits.to(at::kFloat).square().sum().backward();
      return std::pair{logits, images.grad().clone()};
    };
    for (size_t i = 0; i < plain.size(); ++i) {
      const auto [logits, grad_images] = run(*plain[i]);
      const auto [logits_again, grad_images_again] = run(*recomputing[i]);
      EXPECT_TRUE(at::equal(logits, logits_again));
      EXPECT_TRUE(at::equal(grad_images, grad_images_again));
      const auto expected = plain[i]->named_parameters();
      for (const auto& parameter : recomputing[i]->named_parameters())
        EXPECT_TRUE(at::equal(parameter.value().grad(), expected[parameter.key()].grad())) << parameter.key();
    }
  }
}

TEST(Checkpointing, gives_the_gradients_that_are_asked_for_and_no_others) {
  const at::Tensor x = at::randn({4}), a = at::randn({4}).requires_grad_(true), b = at::randn({4});
  const auto f = [&](const at::Tensor& in) { return in * a + b; };
  const at::Tensor y = models::checkpointed(f, x, {a, b});
  const auto gradients = torch::autograd::grad({y.sum()}, {a});
  EXPECT_TRUE(at::equal(gradients[0], x));
  EXPECT_FALSE(a.grad().defined());
  EXPECT_FALSE(b.requires_grad());
}

TEST(Checkpointing, keeps_nothing_where_no_gradient_is_wanted) {
  int calls = 0;
  const auto f = [&](const at::Tensor& in) {
    ++calls;
    return in + 1;
  };
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(models::checkpointed(f, at::ones({2}).requires_grad_(true), {}).requires_grad());
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace wkv::test
