// Products of half precision in fp32: the same numbers, dtypes and gradients as PyTorch's own.
#include "layers/product.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/fixture.h"

namespace wkv::test {
namespace {

class ProductsInFloat : public testing::TestWithParam<at::ScalarType> {};

TEST_P(ProductsInFloat, round_once) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({3, 5, 33}).to(GetParam()), matrix = at::randn({33, 7}).to(GetParam());
  const at::Tensor product = models::matrix_product_in_float(x, matrix);
  EXPECT_EQ(product.scalar_type(), GetParam());
  EXPECT_TRUE(product.equal(at::matmul(x.to(at::kFloat), matrix.to(at::kFloat)).to(GetParam())));
}

TEST_P(ProductsInFloat, have_the_gradients_of_the_product) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({6, 9}).to(GetParam()).requires_grad_(),
                   matrix = at::randn({9, 4}).to(GetParam()).requires_grad_(), seed = at::randn({6, 4}).to(GetParam());
  const auto of = [&](const at::Tensor& y) { return torch::autograd::grad({y}, {x, matrix}, {seed}); };
  const auto found = of(models::matrix_product_in_float(x, matrix)), expected = of(at::matmul(x, matrix));
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].scalar_type(), GetParam());
    EXPECT_LT(relative_error(found[i], expected[i]), 1e-2) << i;
  }
}

TEST_P(ProductsInFloat, are_of_the_dtype_of_autocast) {
  at::autocast::set_autocast_dtype(at::kCPU, GetParam());
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor x = at::randn({2, 8}), matrix = at::randn({8, 2});
  const at::Tensor product = models::matrix_product_in_float(x, matrix);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  EXPECT_EQ(product.scalar_type(), GetParam());
  EXPECT_TRUE(product.equal(at::matmul(x, matrix).to(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Dtype, ProductsInFloat, testing::Values(at::kBFloat16, at::kHalf),
                         [](const auto& test) { return c10::toString(test.param); });

}  // namespace
}  // namespace wkv::test
