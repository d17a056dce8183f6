// The dense-prediction adapter: its parts and the whole of it against the published modules.
#include <gtest/gtest.h>

#include "models/module_values.h"
#include "models/vision_cases.h"
#include "vrwkv_adapter/deformable_attention.h"
#include "vrwkv_adapter/spatial_prior.h"

namespace wkv::test {
namespace {

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
  EXPECT_LT(relative_error(models::to_tokens(maps[1]), fixture["out.c2"]), 1e-5);
  EXPECT_LT(relative_error(models::to_tokens(maps[2]), fixture["out.c3"]), 1e-5);
  EXPECT_LT(relative_error(models::to_tokens(maps[3]), fixture["out.c4"]), 1e-5);
}

TEST_F(SpatialPriorTraining, gives_the_published_gradients) {
  at::Tensor loss = (maps[0] * fixture["in.g1"]).sum();
  for (size_t i = 1; i < maps.size(); ++i)
    loss = loss + (models::to_tokens(maps[i]) * fixture["in.g" + std::to_string(i + 1)]).sum();
  loss.backward();
  expect_gradients(prior, fixture.with_prefix("grad."), 5e-5);
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

}  // namespace
}  // namespace wkv::test
