// wkv6 alone, and what wkv5 has in common with it: golden files, decays, decode steps, and what they refuse.
#include "reference/wkv6.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::wkv6_op {
namespace {

using Op = decltype(&ops::wkv6);

OpCase matrix_state_case(const char* name, Op op, const OpArgument& w) {
  return {
      .name = name,
      .arguments = {{"r", true, false, random_keys(0.5)},
                    {"k", true, false, random_keys(0.5)},
                    {"v", true, false, random_values(0.5)},
                    w,
                    {"u", false, true, random_per_key(0.5)}},
      .states = {random_state()},
      .call =
          [op](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, after] =
                op(x[0], x[1], x[2], x[3], x[4], if_defined(state_at(states, 0)), if_defined(cu_seqlens), false);
            return Tensors{y, after};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, after] = reference::wkv6(x[0], x[1], x[2], x[3], x[4], state_at(states, 0));
            return Tensors{y, after};
          },
      .nan_fills_output = false,  // the first output knows no decay; see a_nan_in_the_decay below
  };
}
const OpCaseRow kRow6(matrix_state_case("wkv6", ops::wkv6, {"w", true, true, random_keys(0.5, -1)}));
const OpCaseRow kRow5(matrix_state_case("wkv5", ops::wkv5, {"w", false, true, random_per_key(0.5, -1)}));

constexpr const char* kNames[] = {"r", "k", "v", "w", "u", "s0"};
constexpr size_t kW = 3;
constexpr double kInf = std::numeric_limits<double>::infinity();

// --- golden files ---

// The gradients of the inputs, of which the last is the state before.
void expect_golden_gradients(const Fixture& fixture, const Tensors& found, double tolerance) {
  double largest = 0;
  for (const auto& [key, tensor] : fixture) {
    if (key.rfind("grad.", 0) == 0) largest = std::max(largest, tensor.abs().max().item<double>());
  }
  for (size_t i = 0; i < found.size(); ++i) {
    const auto expected = fixture.find(std::string("grad.") + kNames[i]);
    if (expected == fixture.end()) continue;
    EXPECT_LE(difference(found[i], expected->second, 1e-3 * largest), tolerance) << kNames[i];
  }
}

class GoldenFile : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};
std::string file_and_dtype(const testing::TestParamInfo<std::tuple<std::string, at::ScalarType>>& test) {
  return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
}
const auto kDtypes = testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf);

class Wkv6Fixture : public GoldenFile {};

TEST_P(Wkv6Fixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("wkv6/" + name + ".safetensors"));
  const Tolerance tolerance = fixture_tolerance(name, dtype, fixture.at("in.r").size(1));
  Tensors x;
  for (const char* input : {"r", "k", "v", "w", "u", "s0"}) {
    const bool exact = *input == 'w' || *input == 's';
    x.push_back(fixture.at(std::string("in.") + input).to(exact ? state_dtype(dtype) : dtype).requires_grad_());
  }
  const auto [y, after] = ops::wkv6(x[0], x[1], x[2], x[3], x[4], x[5]);
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  EXPECT_LE(difference(after, fixture.at("out.sT")), tolerance.output);
  const Tensors found = torch::autograd::grad(
      {y, after}, x, {fixture.at("in.dy").to(dtype), fixture.at("in.dsT").to(after.scalar_type())});
  expect_golden_gradients(fixture, found, tolerance.gradient);
}

INSTANTIATE_TEST_SUITE_P(File, Wkv6Fixture,
                         testing::Combine(testing::ValuesIn(fixture_names("wkv6", {"t20_n128", "t64_n64_zero"})),
                                          kDtypes),
                         file_and_dtype);

class Wkv5Fixture : public GoldenFile {};

// The files have channels [B, T, H * N], states [key, value], and for some models one w and u a head.
TEST_P(Wkv5Fixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  Fixture fixture = load_fixture(golden("wkv5/" + name + ".safetensors"));
  const Tolerance tolerance = fixture_tolerance(name, dtype, fixture.at("in.r").size(1));
  const int64_t H = fixture.at("in.w").size(0), N = fixture.at("in.r").size(2) / H;
  const bool scalar = fixture.at("in.w").dim() == 1;
  for (auto& [key, tensor] : fixture) {
    if (tensor.dim() == 3) tensor = tensor.unflatten(2, {H, N});
    if (key.find(".s") != std::string::npos || key == "in.gs") tensor = tensor.transpose(-1, -2);
    if (key.rfind("in.", 0) == 0 && tensor.dim() == 1) tensor = tensor.unsqueeze(1).expand({H, N});
  }
  const at::Tensor& r = fixture.at("in.r");
  const at::Tensor zeros = at::zeros({r.size(0), H, N, N}, at::kDouble);
  const auto or_zeros = [&](const char* key) { return fixture.contains(key) ? fixture.at(key) : zeros; };
  Tensors x;
  for (const char* input : {"r", "k", "v", "w", "u"}) {
    x.push_back(fixture.at(std::string("in.") + input).to(*input == 'w' ? state_dtype(dtype) : dtype).requires_grad_());
  }
  x.push_back(or_zeros("in.s0").to(state_dtype(dtype)).requires_grad_());
  const auto [y, after] = ops::wkv5(x[0], x[1], x[2], x[3], x[4], x[5]);
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  EXPECT_LE(difference(after, fixture.at("out.s")), tolerance.output);
  Tensors found =
      torch::autograd::grad({y, after}, x, {fixture.at("in.gy").to(dtype), or_zeros("in.gs").to(after.scalar_type())});
  if (scalar) found[3] = found[3].to(at::kDouble).sum(1), found[4] = found[4].to(at::kDouble).sum(1);
  expect_golden_gradients(fixture, found, tolerance.gradient);
}

INSTANTIATE_TEST_SUITE_P(File, Wkv5Fixture,
                         testing::Combine(testing::ValuesIn(fixture_names("wkv5", {"long", "n32"})), kDtypes),
                         file_and_dtype);

// --- decays, and what else both ops have in common ---

class Wkv5And6 : public testing::TestWithParam<std::tuple<std::string, Op>> {
 protected:
  const OpCase& row() const { return op_case(std::get<0>(GetParam())); }
  Op op() const { return std::get<1>(GetParam()); }

  struct Run {
    at::Tensor y, state;
    Tensors gradients;
  };
  Run run_with_decay(double w, bool log_decay) const {
    OpInputs inputs = make_inputs(row(), {}, at::kFloat, 21, true);
    Tensors& x = inputs.arguments;
    x[kW] = at::full_like(x[kW], w).detach().requires_grad_();
    const auto [y, state] = op()(x[0], x[1], x[2], x[3], x[4], inputs.states[0], std::nullopt, log_decay);
    return {y, state, gradients({y, state}, inputs.all())};
  }
};

TEST_P(Wkv5And6, a_decay_of_minus_infinity_keeps_everything) {
  const Run kept = run_with_decay(-kInf, false), exact = run_with_decay(0, true);
  EXPECT_TRUE(at::equal(kept.y, exact.y));
  EXPECT_TRUE(at::equal(kept.state, exact.state));
  EXPECT_TRUE(at::equal(kept.gradients[kW], at::zeros_like(kept.gradients[kW])));
}

TEST_P(Wkv5And6, a_decay_that_overflows_forgets_everything_and_has_no_gradient) {
  const Run forgotten = run_with_decay(-kInf, true);
  for (const double w : {5.0, 89.0, 1e30, kInf}) {
    const Run run = run_with_decay(w, false);
    EXPECT_LE(difference(run.y, forgotten.y), 1e-30) << w;
    EXPECT_LE(run.gradients[kW].abs().max().item<double>(), 1e-30) << w;
    for (const at::Tensor& g : run.gradients) EXPECT_TRUE(g.isfinite().all().item<bool>()) << w;
  }
}

TEST_P(Wkv5And6, what_a_decay_leaves_of_a_state_is_right_however_little) {
  OpInputs inputs = make_inputs(row(), {.time = 23}, at::kFloat, 28);
  Tensors& x = inputs.arguments;
  x[1].zero_();
  for (const double w : {-9.0, -5.0, -2.0, -1.5, -1.0, 0.0, 1.0}) {
    x[kW].fill_(w);
    const at::Tensor state = row().call(x, inputs.states, {})[1];
    const at::Tensor expected = inputs.states[0] * std::exp(-23 * std::exp(w));
    EXPECT_LE((state / expected - 1).abs().max().item<double>(), 1e-5) << w;
  }
}

TEST_P(Wkv5And6, a_log_decay_is_the_logarithm_of_the_factor) {
  OpInputs inputs = make_inputs(row(), {}, at::kDouble, 22, true);
  Tensors& x = inputs.arguments;
  x[kW] = (-x[kW].detach().exp()).requires_grad_();
  const at::Tensor& before = inputs.states[0];
  const auto [y, state] = op()(x[0], x[1], x[2], x[3], x[4], before, std::nullopt, true);
  const auto [expected_y, expected_state] = reference::wkv6(x[0], x[1], x[2], x[3], x[4], before, true);
  EXPECT_LE(difference(y, expected_y), 1e-12);
  const Tensors found = gradients({y, state}, inputs.all()),
                expected = gradients({expected_y, expected_state}, inputs.all());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << kNames[i];
}

TEST_P(Wkv5And6, gradients_flow_through_the_state_alone) {
  const OpInputs inputs = make_inputs(row(), {}, at::kDouble, 23, true);
  const Tensors& x = inputs.arguments;
  const at::Tensor& before = inputs.states[0];
  const at::Tensor state = std::get<1>(op()(x[0], x[1], x[2], x[3], x[4], before, std::nullopt, false));
  const at::Tensor expected_state = reference::wkv6(x[0], x[1], x[2], x[3], x[4], before).second;
  const Tensors by{x[1], x[2], x[3], before};
  const Tensors found = torch::autograd::grad({state.sum()}, by),
                expected = torch::autograd::grad({expected_state.sum()}, by);
  for (size_t i = 0; i < by.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << i;
}

TEST_P(Wkv5And6, a_nan_reaches_all_outputs_that_its_argument_has_a_part_in) {
  const OpInputs inputs = make_inputs(row(), {}, at::kFloat, 24);
  for (size_t i = 0; i < inputs.arguments.size(); ++i) {
    Tensors x = inputs.arguments;
    x[i] = at::full_like(x[i], std::numeric_limits<float>::quiet_NaN());
    const at::Tensor y = row().call(x, inputs.states, {})[0];
    EXPECT_TRUE(y.narrow(1, 1, y.size(1) - 1).isnan().all().item<bool>()) << kNames[i];
    EXPECT_EQ(y.select(1, 0).isnan().all().item<bool>(), i != kW) << kNames[i];
  }
}

TEST_P(Wkv5And6, one_token_without_a_state_starts_from_zeros) {
  for (const OpShape& shape : {OpShape{.time = 1, .key = 64, .value = 64}, {.time = 1, .key = 20, .value = 33}}) {
    const OpInputs inputs = make_inputs(row(), shape, at::kDouble, 27);
    const Tensors none = row().call(inputs.arguments, {}, {});
    const Tensors zeros = row().call(inputs.arguments, {at::zeros_like(inputs.states[0])}, {});
    EXPECT_TRUE(at::equal(none[0], zeros[0]));
    EXPECT_TRUE(at::equal(none[1], zeros[1]));
  }
}

TEST_P(Wkv5And6, a_second_derivative_is_refused) {
  const OpInputs inputs = make_inputs(row(), {}, at::kDouble, 25, true);
  const at::Tensor y = row().call(inputs.arguments, inputs.states, {})[0];
  const Tensors first = torch::autograd::grad({y.pow(2).sum()}, inputs.arguments, {}, true, true);
  try {
    torch::autograd::grad({first[1].sum()}, {inputs.arguments[1]});
    FAIL() << "a second derivative came back";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("not implemented"));
  }
}

INSTANTIATE_TEST_SUITE_P(Op, Wkv5And6,
                         testing::Values(std::make_tuple("wkv5", &ops::wkv5), std::make_tuple("wkv6", &ops::wkv6)),
                         [](const auto& test) { return std::get<0>(test.param); });

// A long sequence, of several segments of the backward, by its own split into short ones.
TEST(Wkv6, gradients_of_a_long_sequence_equal_those_of_its_parts) {
  const OpInputs inputs = make_inputs(op_case("wkv6"), {.batch = 1, .time = 1300, .heads = 1, .key = 64, .value = 64},
                                      at::kDouble, 26, true);
  const Tensors& x = inputs.arguments;
  Tensors outputs;
  at::Tensor state = inputs.states[0];
  for (int64_t begin = 0; begin < 1300; begin += 100) {
    const auto part = [&](size_t i) { return x[i].narrow(1, begin, 100); };
    auto [y, after] = ops::wkv6(part(0), part(1), part(2), part(3), x[4], state);
    outputs.push_back(y);
    state = after;
  }
  const auto [y, after] = ops::wkv6(x[0], x[1], x[2], x[3], x[4], inputs.states[0]);
  EXPECT_LE(difference(y, at::cat(outputs, 1)), 1e-12);
  const Tensors found = gradients({y, after}, inputs.all()),
                expected = gradients({at::cat(outputs, 1), state}, inputs.all());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-12) << kNames[i];
}

TEST(Wkv6, the_factor_is_right_over_the_whole_range_of_w) {
  // One token, S = 1, nothing added: the state is the factor.
  const at::Tensor w = at::linspace(-20, 5, 4001, at::kDouble).to(at::kFloat).view({1, 1, -1, 1});
  const at::Tensor zero = at::zeros_like(w), one = at::ones_like(w);
  const at::Tensor factor = std::get<1>(ops::wkv6(zero, zero, zero, w, zero[0][0], one.view({1, -1, 1, 1})));
  const at::Tensor expected = (-w.to(at::kDouble).exp()).exp().view({1, -1, 1, 1});
  // The argument -exp(w) is itself rounded: its relative error counts times its size.
  const at::Tensor error = ((factor.to(at::kDouble) - expected).abs() - std::numeric_limits<float>::min()) / expected /
                           (1 + w.view({1, -1, 1, 1}).exp());
  EXPECT_LE(error.max().item<double>(), 4e-7);
}

// --- refusals ---

const Refusal kWkv6Refusals[] = {
    {"r_three_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "wkv6: r must have the 4 dimensions [B, T, H, N], got shape [17, 2, 16]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(1, 0, 16); },
     "wkv6: k must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 16, 2, 16]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(2, 0, 1); },
     "wkv6: v must have shape [B, T, H, M] = [2, 17, 2, 16], got [2, 17, 1, 16]"},
    {"v_three_dimensions", [](auto& x, auto&, auto&) { x[2] = x[2].select(0, 0); },
     "wkv6: v must have the 4 dimensions [B, T, H, M], got shape [17, 2, 16]"},
    {"w_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(3, 0, 8); },
     "wkv6: w must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 17, 2, 8]"},
    {"u_shape", [](auto& x, auto&, auto&) { x[4] = x[4].narrow(0, 0, 1); },
     "wkv6: u must have shape [H, N] = [2, 16], got [1, 16]"},
    {"state_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(0, 0, 1); },
     "wkv6: state must have shape [B, H, M, N] = [2, 2, 16, 16], got [1, 2, 16, 16]"},
    {"head_too_large",
     [](auto& x, auto& states, auto&) {
       for (auto& t : x) t = at::zeros({1, 1, 1, 257});
       x[4] = at::zeros({1, 257});
       states.clear();
     },
     "wkv6: the head sizes N of r and M of v must be 1 to 256, got 257"},
    {"head_empty",
     [](auto& x, auto& states, auto&) {
       x[2] = at::zeros({2, 17, 2, 0});
       states.clear();
     },
     "wkv6: the head sizes N of r and M of v must be 1 to 256, got 0"},
    {"r_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "wkv6: r must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kBFloat16); },
     "wkv6: k must have dtype Float, got BFloat16"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kDouble); },
     "wkv6: v must have dtype Float, got Double"},
    {"w_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kHalf); }, "wkv6: w must have dtype Float, got Half"},
    {"u_dtype",
     [](auto& x, auto&, auto&) {
       for (auto& t : x) t = t.to(at::kBFloat16);
       x[4] = x[4].to(at::kHalf);
     },
     "wkv6: u must have dtype BFloat16 or Float, got Half"},
    {"state_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "wkv6: state must have dtype Float, got Half"},
    {"k_undefined", [](auto& x, auto&, auto&) { x[1] = at::Tensor(); }, "wkv6: k must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kMeta); }, "wkv6: v must be on cpu as r is, got meta"},
    {"u_meta", [](auto& x, auto&, auto&) { x[4] = x[4].to(at::kMeta); }, "wkv6: u must be on cpu as r is, got meta"},
    {"state_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "wkv6: state must be on cpu as r is, got meta"},
    {"k_sparse", [](auto& x, auto&, auto&) { x[1] = x[1].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "wkv6: with cu_seqlens the batch must be 1, got r of shape [2, 17, 2, 16]"},
    {"packed_early_end",
     [](auto& x, auto& states, auto& cu) {
       for (size_t i = 0; i < 4; ++i) x[i] = x[i].narrow(0, 0, 1);
       states[0] = states[0].narrow(0, 0, 1);
       cu = bounds({0, 16});
     },
     "wkv6: cu_seqlens must end at T = 17, got 16"},
    {"packed_states",
     [](auto& x, auto&, auto& cu) {
       for (size_t i = 0; i < 4; ++i) x[i] = x[i].narrow(0, 0, 1);
       cu = bounds({0, 5, 9, 17});
     },
     "wkv6: state must have shape [S, H, M, N] = [3, 2, 16, 16], got [2, 2, 16, 16]"},
};

class Wkv6Refuses : public testing::TestWithParam<Refusal> {};

TEST_P(Wkv6Refuses, with_a_message_that_names_the_argument) { expect_refused(op_case("wkv6"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, Wkv6Refuses, testing::ValuesIn(kWkv6Refusals),
                         [](const auto& test) { return test.param.name; });

TEST(Wkv5, a_decay_of_each_token_is_refused) {
  expect_refused(op_case("wkv5"), {"", [](auto& x, auto&, auto&) { x[3] = x[0]; },
                                   "wkv5: w must have the 2 dimensions [H, N], got shape [2, 17, 2, 16]"});
}

}  // namespace
}  // namespace wkv::test::wkv6_op
