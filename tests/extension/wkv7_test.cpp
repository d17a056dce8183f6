// wkv7 alone: its golden files, its decays, and what it refuses.
#include "reference/wkv7.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::wkv7_op {
namespace {

OpCase wkv7_case() {
  const auto unit_rows = [](double scale) {
    return [=](const OpShape& s) {
      const at::Tensor x = random_keys(1)(s);
      return x / x.norm(2, -1, true) * scale;
    };
  };
  return {
      .name = "wkv7",
      .arguments = {{"r", true, false, random_keys(0.5)},
                    {"w", true, true, random_keys(0.5, -1.5)},
                    {"k", true, false, random_keys(0.5)},
                    {"v", true, false, random_values(0.5)},
                    {"a", true, false, unit_rows(-1)},
                    {"b", true, false, unit_rows(0.5)}},
      .states = {random_state()},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, after] =
                ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], if_defined(state_at(states, 0)), if_defined(cu_seqlens));
            return Tensors{y, after};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, after] = reference::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], state_at(states, 0));
            return Tensors{y, after};
          },
  };
}
const OpCaseRow kRow(wkv7_case());

constexpr const char* kNames[] = {"r", "w", "k", "v", "a", "b"};
constexpr double kInf = std::numeric_limits<double>::infinity();

// --- golden files ---

class Wkv7Fixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

TEST_P(Wkv7Fixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("wkv7/" + name + ".safetensors"));
  const Tolerance tolerance = fixture_tolerance(name, dtype, fixture.at("in.r").size(1));

  Tensors x;
  for (const char* input : kNames) {
    const at::ScalarType type = *input == 'w' ? state_dtype(dtype) : dtype;
    x.push_back(fixture.at(std::string("in.") + input).to(type).requires_grad_());
  }
  const at::Tensor before = fixture.at("in.s0").to(state_dtype(dtype)).requires_grad_();
  const auto [y, after] = ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], before);
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  EXPECT_LE(difference(after, fixture.at("out.sT")), tolerance.output);

  x.push_back(before);
  const Tensors found = torch::autograd::grad(
      {y, after}, x, {fixture.at("in.dy").to(dtype), fixture.at("in.dsT").to(after.scalar_type())});
  double largest = 0;
  for (const auto& [key, tensor] : fixture) {
    if (key.rfind("grad.", 0) == 0) largest = std::max(largest, tensor.abs().max().item<double>());
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const std::string key = std::string("grad.") + (i < 6 ? kNames[i] : "s0");
    EXPECT_LE(difference(found[i], fixture.at(key), 1e-3 * largest), tolerance.gradient) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(
    File, Wkv7Fixture,
    testing::Combine(testing::ValuesIn(fixture_names("wkv7", {"t17_n32", "t20_n128", "t33_n64_bf16", "t37_n16_generic",
                                                              "t64_n32_repeat", "t80_n16_slow"})),
                     testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
    [](const auto& test) { return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param)); });

// --- decays ---

struct Wkv7Run {
  at::Tensor y, state, grad_w;
  Tensors gradients;
};

Wkv7Run run_with_decay(double w, bool log_decay, at::ScalarType dtype = at::kFloat) {
  const OpInputs inputs = make_inputs(op_case("wkv7"), {}, dtype, 21, true);
  Tensors x = inputs.arguments;
  x[1] = at::full_like(x[1], w).detach().requires_grad_();
  const auto [y, state] = ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0], std::nullopt, log_decay);
  Tensors all = gradients({y, state}, x);
  return {y, state, all[1], all};
}

TEST(Wkv7, a_decay_of_minus_infinity_keeps_everything) {
  const Wkv7Run kept = run_with_decay(-kInf, false), exact = run_with_decay(0, true);
  EXPECT_TRUE(at::equal(kept.y, exact.y));
  EXPECT_TRUE(at::equal(kept.state, exact.state));
  EXPECT_TRUE(at::equal(kept.grad_w, at::zeros_like(kept.grad_w)));
}

TEST(Wkv7, a_decay_that_overflows_forgets_everything_and_has_no_gradient) {
  const Wkv7Run forgotten = run_with_decay(-kInf, true);
  for (const double w : {5.0, 89.0, 1e30, kInf}) {
    const Wkv7Run run = run_with_decay(w, false);
    EXPECT_LE(difference(run.y, forgotten.y), 1e-30) << w;
    EXPECT_TRUE(at::equal(run.grad_w, at::zeros_like(run.grad_w))) << w;
    for (const at::Tensor& g : run.gradients) EXPECT_TRUE(g.isfinite().all().item<bool>()) << w;
  }
}

TEST(Wkv7, a_log_decay_is_the_logarithm_of_the_factor) {
  const OpInputs inputs = make_inputs(op_case("wkv7"), {}, at::kDouble, 22, true);
  Tensors x = inputs.arguments;
  x[1] = (-x[1].detach().exp()).requires_grad_();
  const auto [y, state] = ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0], std::nullopt, true);
  const auto [expected_y, expected_state] = reference::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0], true);
  EXPECT_LE(difference(y, expected_y), 1e-12);
  const Tensors found = gradients({y, state}, x), expected = gradients({expected_y, expected_state}, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << kNames[i];
}

TEST(Wkv7, the_factor_is_right_over_the_whole_range_of_w) {
  // One token, S = 1, nothing added: the state is the factor.
  const at::Tensor w = at::linspace(-20, 5, 4001, at::kDouble).to(at::kFloat).view({1, 1, -1, 1});
  const at::Tensor zero = at::zeros_like(w), one = at::ones_like(w);
  const at::Tensor factor = std::get<1>(ops::wkv7(zero, w, zero, zero, zero, zero, one.view({1, -1, 1, 1})));
  const at::Tensor expected = (-w.to(at::kDouble).exp()).exp().view({1, -1, 1, 1});
  // The argument -exp(w) is itself rounded: its relative error counts times its size. What is below the smallest normal
  // number becomes zero.
  constexpr double kSmallest = std::numeric_limits<float>::min();
  const at::Tensor error =
      ((factor.to(at::kDouble) - expected).abs() - kSmallest) / expected / (1 + w.view({1, -1, 1, 1}).exp());
  EXPECT_LE(error.max().item<double>(), 4e-7);
}

TEST(Wkv7, gradients_flow_through_the_state_alone) {
  const OpInputs inputs = make_inputs(op_case("wkv7"), {}, at::kDouble, 23, true);
  const Tensors& x = inputs.arguments;
  const auto [y, state] = ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0]);
  const auto [expected_y, expected_state] = reference::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0]);
  const Tensors by{x[1], x[2], x[3], x[4], x[5], inputs.states[0]};
  const Tensors found = torch::autograd::grad({state.sum()}, by),
                expected = torch::autograd::grad({expected_state.sum()}, by);
  for (size_t i = 0; i < by.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << i;
}

TEST(Wkv7, a_second_derivative_is_refused) {
  const OpInputs inputs = make_inputs(op_case("wkv7"), {}, at::kDouble, 25, true);
  const Tensors& x = inputs.arguments;
  const at::Tensor y = std::get<0>(ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], inputs.states[0]));
  const Tensors first = torch::autograd::grad({y.pow(2).sum()}, x, {}, true, true);
  try {
    torch::autograd::grad({first[2].sum()}, {x[2]});
    FAIL() << "a second derivative came back";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("not implemented"));
  }
}

// --- refusals ---

const Refusal kRefusals[] = {
    {"r_three_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "wkv7: r must have the 4 dimensions [B, T, H, N], got shape [17, 2, 16]"},
    {"w_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(3, 0, 8); },
     "wkv7: w must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 17, 2, 8]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(1, 0, 16); },
     "wkv7: k must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 16, 2, 16]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(2, 0, 1); },
     "wkv7: v must have shape [B, T, H, M] = [2, 17, 2, 16], got [2, 17, 1, 16]"},
    {"a_shape", [](auto& x, auto&, auto&) { x[4] = x[4].narrow(0, 0, 1); },
     "wkv7: a must have shape [B, T, H, N] = [2, 17, 2, 16], got [1, 17, 2, 16]"},
    {"b_shape", [](auto& x, auto&, auto&) { x[5] = x[5].squeeze().select(0, 0); },
     "wkv7: b must have the 4 dimensions [B, T, H, N], got shape [17, 2, 16]"},
    {"state_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(0, 0, 1); },
     "wkv7: state must have shape [B, H, M, N] = [2, 2, 16, 16], got [1, 2, 16, 16]"},
    {"head_too_large",
     [](auto& x, auto& states, auto&) {
       for (auto& t : x) t = at::zeros({1, 1, 1, 257});
       states.clear();
     },
     "wkv7: the head sizes N of r and M of v must be 1 to 256, got 257"},
    {"head_empty",
     [](auto& x, auto& states, auto&) {
       for (auto& t : x) t = at::zeros({1, 1, 1, 0});
       states.clear();
     },
     "wkv7: the head sizes N of r and M of v must be 1 to 256, got 0"},
    {"r_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "wkv7: r must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"w_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); }, "wkv7: w must have dtype Float, got Half"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kBFloat16); },
     "wkv7: k must have dtype Float, got BFloat16"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kDouble); },
     "wkv7: v must have dtype Float, got Double"},
    {"state_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "wkv7: state must have dtype Float, got Half"},
    {"k_undefined", [](auto& x, auto&, auto&) { x[2] = at::Tensor(); }, "wkv7: k must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kMeta); }, "wkv7: v must be on cpu as r is, got meta"},
    {"r_meta", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kMeta); }, "wkv7: w must be on meta as r is, got cpu"},
    {"state_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "wkv7: state must be on cpu as r is, got meta"},
    {"k_sparse", [](auto& x, auto&, auto&) { x[2] = x[2].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "wkv7: with cu_seqlens the batch must be 1, got r of shape [2, 17, 2, 16]"},
};

class Wkv7Refuses : public testing::TestWithParam<Refusal> {};

TEST_P(Wkv7Refuses, with_a_message_that_names_the_argument) { expect_refused(op_case("wkv7"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, Wkv7Refuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

struct PackedRefusal {
  const char* name;
  at::Tensor cu_seqlens;
  int64_t states;
  const char* message;
};

class Wkv7RefusesPacked : public testing::TestWithParam<PackedRefusal> {};

TEST_P(Wkv7RefusesPacked, with_a_message_that_names_the_entry) {
  const OpInputs inputs = make_inputs(op_case("wkv7"), {.batch = 1, .time = 17}, at::kFloat, 32);
  const at::Tensor states = inputs.states[0].expand({GetParam().states, -1, -1, -1});
  try {
    op_case("wkv7").call(inputs.arguments, {states}, GetParam().cu_seqlens);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bounds, Wkv7RefusesPacked,
    testing::Values(PackedRefusal{"late_start", bounds({1, 17}), 1, "wkv7: cu_seqlens must start at 0, got 1"},
                    PackedRefusal{"early_end", bounds({0, 16}), 1, "wkv7: cu_seqlens must end at T = 17, got 16"},
                    PackedRefusal{"beyond_the_end", bounds({0, 18}), 1, "wkv7: cu_seqlens must end at T = 17, got 18"},
                    PackedRefusal{"decreasing", bounds({0, 9, 8, 17}), 3,
                                  "wkv7: cu_seqlens must not decrease, got 9 before 8 at entry 2"},
                    PackedRefusal{"negative", bounds({0, -1, 17}), 2,
                                  "wkv7: cu_seqlens must not decrease, got 0 before -1 at entry 1"},
                    PackedRefusal{"empty", bounds({}), 1,
                                  "wkv7: cu_seqlens must have at least one entry, got shape [0]"},
                    PackedRefusal{"two_dimensions", bounds({0, 17}).unsqueeze(0), 1,
                                  "wkv7: cu_seqlens must have the 1 dimensions [S + 1], got shape [1, 2]"},
                    PackedRefusal{"floating", bounds({0, 17}).to(at::kFloat), 1,
                                  "wkv7: cu_seqlens must have dtype Int or Long, got Float"},
                    PackedRefusal{"states", bounds({0, 9, 17}), 1,
                                  "wkv7: state must have shape [S, H, M, N] = [2, 2, 16, 16], got [1, 2, 16, 16]"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::wkv7_op
