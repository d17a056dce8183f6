// bi_wkv6 alone: its golden files, its symmetry, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "reference/wkv6.h"
#include "wkv/ops.h"

namespace wkv::test::bi_wkv6_op {
namespace {

OpCase bi_wkv6_case() {
  return {
      .name = "bi_wkv6",
      .arguments = {{"r", true, false, random_keys(0.5)},
                    {"k", true, false, random_keys(0.5)},
                    {"v", true, false, random_values(0.5)},
                    {"w", true, true, random_keys(0.5, -1)},
                    {"u", false, true, random_per_key(0.5)}},
      .call = [](const Tensors& x, const Tensors&,
                 const at::Tensor&) { return Tensors{ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4])}; },
      .reference = [](const Tensors& x,
                      const Tensors&) { return Tensors{reference::bi_wkv6(x[0], x[1], x[2], x[3], x[4])}; },
      .nan_fills_output = false,  // tokens side by side know no decay
  };
}
const OpCaseRow kRow(bi_wkv6_case());

constexpr const char* kNames[] = {"r", "k", "v", "w", "u"};

// --- golden files ---

class BiWkv6Fixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

TEST_P(BiWkv6Fixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  Fixture fixture = load_fixture(golden("bi_wkv6/" + name + ".safetensors"));
  // Some files are exact to fp32 only.
  const bool exact = fixture.at("out.y").scalar_type() == at::kDouble;
  const Tolerance tolerance =
      fixture_tolerance(name, dtype == at::kDouble && !exact ? at::kFloat : dtype, fixture.at("in.r").size(1));
  const at::Tensor u = fixture.at("in.u");
  for (auto& [key, tensor] : fixture) {
    if (tensor.dim() == 3) tensor = tensor.unflatten(2, {u.size(0), u.size(1)});
  }
  Tensors x;
  for (const char* input : kNames) {
    x.push_back(fixture.at(std::string("in.") + input).to(*input == 'w' ? state_dtype(dtype) : dtype).requires_grad_());
  }
  const at::Tensor y = ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4]);
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  const Tensors found = torch::autograd::grad({y}, x, {fixture.at("in.gy").to(dtype)});
  double largest = 0;
  for (const char* input : kNames) {
    largest = std::max(largest, fixture.at(std::string("grad.") + input).abs().max().item<double>());
  }
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(difference(found[i], fixture.at(std::string("grad.") + kNames[i]), 1e-3 * largest), tolerance.gradient)
        << kNames[i];
  }
}

INSTANTIATE_TEST_SUITE_P(File, BiWkv6Fixture,
                         testing::Combine(testing::ValuesIn(fixture_names("bi_wkv6", {"f32_B1_T196_C32_hd16"})),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
                         });

// --- what both directions give ---

TEST(BiWkv6, of_the_flipped_tokens_is_the_flipped_output) {
  const Tensors x = make_inputs(op_case("bi_wkv6"), {}, at::kDouble, 51).arguments;
  const at::Tensor y = ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4]);
  const at::Tensor flipped = ops::bi_wkv6(x[0].flip(1), x[1].flip(1), x[2].flip(1), x[3].flip(1), x[4]);
  EXPECT_LE(difference(flipped.flip(1), y), 1e-14);
}

TEST(BiWkv6, the_decays_of_the_ends_have_no_effect_and_no_gradient) {
  OpInputs inputs = make_inputs(op_case("bi_wkv6"), {}, at::kFloat, 52, true);
  const Tensors& x = inputs.arguments;
  const at::Tensor y = ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4]);
  const at::Tensor gradient = gradients({y}, x)[3];
  for (const int64_t end : {0L, 16L}) {
    EXPECT_TRUE(at::equal(gradient.select(1, end), at::zeros_like(gradient.select(1, end)))) << end;
  }
  EXPECT_TRUE((gradient.narrow(1, 1, 15) != 0).all().item<bool>());
}

TEST(BiWkv6, a_decay_that_overflows_leaves_the_neighbours) {
  Tensors x = make_inputs(op_case("bi_wkv6"), {}, at::kFloat, 53, true).arguments;
  x[3] = at::full_like(x[3], 100).detach().requires_grad_();
  Tensors exact = x;
  exact[3] = at::full_like(x[3], 5.5).detach();  // exp(-exp(5.5)) is below the smallest number
  const at::Tensor y = ops::bi_wkv6(x[0], x[1], x[2], x[3], x[4]);
  EXPECT_TRUE(at::equal(y, ops::bi_wkv6(exact[0], exact[1], exact[2], exact[3], exact[4])));
  const Tensors found = gradients({y}, x);
  EXPECT_TRUE(at::equal(found[3], at::zeros_like(found[3])));
  for (const at::Tensor& g : found) EXPECT_TRUE(g.isfinite().all().item<bool>());
}

// --- refusals ---

const Refusal kRefusals[] = {
    {"r_three_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "bi_wkv6: r must have the 4 dimensions [B, T, H, N], got shape [17, 2, 16]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(1, 0, 16); },
     "bi_wkv6: k must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 16, 2, 16]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(2, 0, 1); },
     "bi_wkv6: v must have shape [B, T, H, M] = [2, 17, 2, 16], got [2, 17, 1, 16]"},
    {"w_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(3, 0, 8); },
     "bi_wkv6: w must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 17, 2, 8]"},
    {"u_shape", [](auto& x, auto&, auto&) { x[4] = x[4].select(0, 0); },
     "bi_wkv6: u must have the 2 dimensions [H, N], got shape [16]"},
    {"r_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "bi_wkv6: r must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); }, "bi_wkv6: k must have dtype Float, got Half"},
    {"w_meta", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kMeta); }, "bi_wkv6: w must be on cpu as r is, got meta"},
    {"u_undefined", [](auto& x, auto&, auto&) { x[4] = at::Tensor(); }, "bi_wkv6: u must be a tensor, got None"},
};

class BiWkv6Refuses : public testing::TestWithParam<Refusal> {};

TEST_P(BiWkv6Refuses, with_a_message_that_names_the_argument) { expect_refused(op_case("bi_wkv6"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, BiWkv6Refuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::bi_wkv6_op
