// short_conv alone: its golden files, its options, and what it refuses.
#include "reference/short_conv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::short_conv_op {
namespace {

constexpr int64_t kTaps = 4;

OpCase short_conv_case() {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  return {
      .name = "short_conv",
      .arguments = {{"x", true, false, random_channels(1)},
                    {"weight", false, true,
                     [=](const OpShape& s) {
                       return at::randn({s.heads * s.key, 1, kTaps}, options) * 0.5;
                     }},
                    {"bias", false, true, random_per_channel(0.5)}},
      .states = {[=](const OpShape& s) {
        return at::randn({s.batch, s.heads * s.key, kTaps}, options);
      }},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, after] =
                ops::short_conv(x[0], x[1], x[2], if_defined(state_at(states, 0)), true, if_defined(cu_seqlens));
            return Tensors{y, after};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, after] = reference::short_conv(x[0], x[1], x[2], state_at(states, 0), true);
            return Tensors{y, after};
          },
  };
}
const OpCaseRow kRow(short_conv_case());

// --- golden files ---

class ShortConvFixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {
 protected:
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
  double output_tolerance() const { return tolerance_of(dtype()).output; }
  void expect_gradient(const at::Tensor& found, const char* key) const {
    EXPECT_LE(difference(found, fixture.at(key)), tolerance_of(dtype()).gradient) << key;
  }
  at::Tensor input(const char* key) const { return fixture.at(key).to(dtype()).requires_grad_(); }

  const Fixture fixture = load_fixture(golden("short_conv/" + std::get<0>(GetParam()) + ".safetensors"));
};

TEST_P(ShortConvFixture, outputs_and_gradients_agree) {
  if (!fixture.contains("w.conv.weight")) return;  // a whole layer
  const at::Tensor x = input("in.x"), weight = input("w.conv.weight");
  const std::optional<at::Tensor> bias =
      fixture.contains("w.conv.bias") ? std::optional(input("w.conv.bias")) : std::nullopt;
  const at::Tensor y = std::get<0>(ops::short_conv(x, weight, bias));
  EXPECT_LE(difference(y, fixture.at("out.y")), output_tolerance());
  EXPECT_LE(difference(std::get<0>(ops::short_conv(x, weight, bias, std::nullopt, true)), fixture.at("out.silu_y")),
            output_tolerance());
  Tensors inputs{x, weight};
  if (bias) inputs.push_back(*bias);
  const Tensors found = torch::autograd::grad({y}, inputs, {fixture.at("in.grad_out").to(dtype())});
  expect_gradient(found[0], "grad.x");
  expect_gradient(found[1], "grad.conv.weight");
  if (bias) expect_gradient(found[2], "grad.conv.bias");
}

TEST_P(ShortConvFixture, states_agree) {
  if (!fixture.contains("w.conv.weight")) return;
  for (const auto& [key, expected] : fixture) {
    if (key.rfind("state.after_", 0) != 0) continue;
    const int64_t T = std::stoll(key.substr(12));
    const at::Tensor after = std::get<1>(ops::short_conv(input("in.x").narrow(1, 0, T), input("w.conv.weight")));
    EXPECT_LE(difference(after, expected), output_tolerance()) << key;
  }
}

TEST_P(ShortConvFixture, the_gated_layer_agrees) {
  if (fixture.contains("w.conv.weight")) return;
  const at::Tensor x = input("in.x"), weight = input("w.conv.conv.weight");
  const Tensors u = at::linear(x, input("w.in_proj.weight"), input("w.in_proj.bias")).chunk(2, -1);
  const at::Tensor gated = std::get<0>(ops::short_conv(u[0], weight, std::nullopt, std::nullopt, true)) * u[1];
  const at::Tensor y = at::linear(gated, input("w.out_proj.weight"), input("w.out_proj.bias"));
  EXPECT_LE(difference(y, fixture.at("out.y")), output_tolerance());
  const Tensors found = torch::autograd::grad({y}, {x, weight}, {fixture.at("in.grad_out").to(dtype())});
  expect_gradient(found[0], "grad.x");
  expect_gradient(found[1], "grad.conv.conv.weight");
}

INSTANTIATE_TEST_SUITE_P(File, ShortConvFixture,
                         testing::Combine(testing::ValuesIn(fixture_names("short_conv")),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
                         });

// --- options ---

class ShortConvTaps : public testing::TestWithParam<std::tuple<int64_t, bool, bool>> {};

TEST_P(ShortConvTaps, outputs_and_gradients_agree_with_the_reference) {
  const auto [taps, with_bias, silu] = GetParam();
  at::manual_seed(51);
  const auto random = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble).requires_grad_(); };
  // More channels than a task has, in a part of a vector at the end; sequences shorter than the taps.
  const int64_t C = 523;
  for (const int64_t T : {0, 1, 5, 30}) {
    Tensors inputs{random({2, T, C}), random({C, 1, taps}), random({2, C, taps})};
    if (with_bias) inputs.push_back(random({C}));
    const auto [y, after] = ops::short_conv(inputs[0], inputs[1], if_defined(state_at(inputs, 3)), inputs[2], silu);
    const auto [expected_y, expected_after] =
        reference::short_conv(inputs[0], inputs[1], state_at(inputs, 3), inputs[2], silu);
    EXPECT_LE(difference(y, expected_y), 1e-13);
    EXPECT_TRUE(at::equal(after, expected_after));
    const Tensors found = gradients({y, after}, inputs), expected = gradients({expected_y, expected_after}, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-12) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Of, ShortConvTaps,
                         testing::Combine(testing::Values(1, 2, 3, 7, 16, 64), testing::Bool(), testing::Bool()),
                         [](const auto& test) {
                           return "K" + std::to_string(std::get<0>(test.param)) +
                                  (std::get<1>(test.param) ? "_bias" : "") + (std::get<2>(test.param) ? "_silu" : "");
                         });

TEST(ShortConv, silu_is_right_where_exp_overflows) {
  const at::Tensor x = at::tensor({-1000.0f, -100.0f, -20.0f, 0.0f, 20.0f, 1000.0f}).view({1, -1, 1}).requires_grad_();
  const at::Tensor one = at::ones({1, 1, 1});
  const at::Tensor y = std::get<0>(ops::short_conv(x, one, std::nullopt, std::nullopt, true));
  EXPECT_LE(difference(y, at::silu(x)), 1e-7);
  const at::Tensor expected = at::tensor({0.0f, 0.0f, -3.9161e-8f, 0.5f, 1.0f, 1.0f}).view({1, -1, 1});
  EXPECT_LE(difference(torch::autograd::grad({y.sum()}, {x})[0], expected), 1e-6);
}

// --- refusals ---

const Refusal kRefusals[] = {
    {"x_two_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "short_conv: x must have the 3 dimensions [B, T, C], got shape [17, 32]"},
    {"weight_two_dimensions", [](auto& x, auto&, auto&) { x[1] = x[1].squeeze(1); },
     "short_conv: weight must have the 3 dimensions [C, 1, K], got shape [32, 4]"},
    {"weight_channels", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(0, 0, 31); },
     "short_conv: weight must have shape [C, 1, K] = [32, 1, 4], got [31, 1, 4]"},
    {"weight_not_depthwise",
     [](auto& x, auto&, auto&) {
       x[1] = x[1].expand({32, 2, 4});
     },
     "short_conv: weight must have shape [C, 1, K] = [32, 1, 4], got [32, 2, 4]"},
    {"kernel_too_large",
     [](auto& x, auto& states, auto&) {
       x[1] = at::zeros({32, 1, 65});
       states.clear();
     },
     "short_conv: the kernel size K of weight must be 1 to 64, got 65"},
    {"kernel_empty",
     [](auto& x, auto& states, auto&) {
       x[1] = at::zeros({32, 1, 0});
       states.clear();
     },
     "short_conv: the kernel size K of weight must be 1 to 64, got 0"},
    {"bias_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(0, 0, 8); },
     "short_conv: bias must have shape [C] = [32], got [8]"},
    {"state_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(2, 0, 3); },
     "short_conv: state must have shape [B, C, K] = [2, 32, 4], got [2, 32, 3]"},
    {"x_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kLong); },
     "short_conv: x must have dtype Float or BFloat16 or Half or Double, got Long"},
    {"weight_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
     "short_conv: weight must have dtype Float, got Half"},
    {"bias_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kDouble); },
     "short_conv: bias must have dtype Float, got Double"},
    {"state_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kBFloat16); },
     "short_conv: state must have dtype Float, got BFloat16"},
    {"weight_undefined", [](auto& x, auto&, auto&) { x[1] = at::Tensor(); },
     "short_conv: weight must be a tensor, got None"},
    {"weight_meta", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kMeta); },
     "short_conv: weight must be on cpu as x is, got meta"},
    {"bias_meta", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kMeta); },
     "short_conv: bias must be on cpu as x is, got meta"},
    {"state_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "short_conv: state must be on cpu as x is, got meta"},
    {"x_sparse", [](auto& x, auto&, auto&) { x[0] = x[0].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "short_conv: with cu_seqlens the batch must be 1, got x of shape [2, 17, 32]"},
    {"packed_states",
     [](auto& x, auto&, auto& cu) {
       x[0] = x[0].narrow(0, 0, 1);
       cu = bounds({0, 9, 12, 17});
     },
     "short_conv: state must have shape [S, C, K] = [3, 32, 4], got [2, 32, 4]"},
    {"packed_bounds",
     [](auto& x, auto& states, auto& cu) {
       x[0] = x[0].narrow(0, 0, 1);
       states.clear();
       cu = bounds({0, 9, 8, 17});
     },
     "short_conv: cu_seqlens must not decrease, got 9 before 8 at entry 2"},
};

class ShortConvRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(ShortConvRefuses, with_a_message_that_names_the_argument) { expect_refused(op_case("short_conv"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, ShortConvRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::short_conv_op
