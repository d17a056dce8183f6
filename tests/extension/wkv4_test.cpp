// wkv4 alone: its golden files, its decays and exponents, its decode step, and what it refuses.
#include "reference/wkv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::wkv4_op {
namespace {

at::Tensor random_wkv4_state(const OpShape& s) {
  const at::Tensor state = at::randn({s.batch, 3, s.heads * s.key}, at::kDouble);
  state.select(1, 1).abs_().add_(0.1);
  return state;
}

OpCase wkv4_case() {
  return {
      .name = "wkv4",
      .arguments = {{"w", false, true, random_per_channel(1, -1)},
                    {"u", false, true, random_per_channel(0.5)},
                    {"k", true, false, random_channels(1)},
                    {"v", true, false, random_channels(1)}},
      .states = {random_wkv4_state},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, after] =
                ops::wkv4(x[0], x[1], x[2], x[3], if_defined(state_at(states, 0)), if_defined(cu_seqlens));
            return Tensors{y, after};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, after] = reference::wkv4(x[0], x[1], x[2], x[3], state_at(states, 0));
            return Tensors{y, after};
          },
      .nan_fills_output = false,  // the first token does not depend on w
  };
}
const OpCaseRow kRow(wkv4_case());

constexpr const char* kNames[] = {"w", "u", "k", "v"};
constexpr double kInf = std::numeric_limits<double>::infinity();

// --- golden files ---

class Wkv4Fixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

at::Tensor stacked(const Fixture& fixture, const char* kind, std::array<const char*, 3> names) {
  if (!fixture.count(std::string(kind) + names[0])) return {};
  Tensors rows;
  for (const char* name : names) rows.push_back(fixture.at(std::string(kind) + name));
  return at::stack(rows, 1);
}

TEST_P(Wkv4Fixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("wkv4/" + name + ".safetensors"));
  const Tolerance tolerance = fixture_tolerance(name, dtype, fixture.at("in.k").size(1));

  Tensors x, expected;
  for (const char* input : kNames) {
    const at::ScalarType type = *input == 'w' || *input == 'u' ? state_dtype(dtype) : dtype;
    x.push_back(fixture.at(std::string("in.") + input).to(type).requires_grad_());
    expected.push_back(fixture.at(std::string("grad.") + input));
  }
  at::Tensor before = stacked(fixture, "in.", {"aa", "bb", "pp"});
  if (before.defined()) {
    before = before.to(state_dtype(dtype)).requires_grad_();
    expected.push_back(stacked(fixture, "grad.", {"aa", "bb", "pp"}));
  }
  const auto [y, after] = ops::wkv4(x[0], x[1], x[2], x[3], if_defined(before));
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  EXPECT_LE(difference(after, stacked(fixture, "out.", {"aa", "bb", "pp"})), tolerance.output);

  if (before.defined()) x.push_back(before);
  const at::Tensor of_state = stacked(fixture, "in.", {"gaa", "gbb", "gpp"});
  const Tensors found = torch::autograd::grad(
      {y, after}, x,
      {fixture.at("in.gy").to(dtype), of_state.defined() ? of_state.to(after.scalar_type()) : at::zeros_like(after)});
  double largest = 0;
  for (const at::Tensor& g : expected) largest = std::max(largest, g.abs().max().item<double>());
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(difference(found[i], expected[i], 1e-3 * largest), tolerance.gradient) << "input " << i;
  }
}

// 16-bit numbers only for keys that were rounded to them: the exponents of large keys would change.
std::vector<std::tuple<std::string, at::ScalarType>> files_and_types() {
  std::vector<std::tuple<std::string, at::ScalarType>> cases;
  for (const std::string& name : fixture_names("wkv4", {"c64"})) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) cases.emplace_back(name, dtype);
    if (name == "bf16") cases.emplace_back(name, at::kBFloat16);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(File, Wkv4Fixture, testing::ValuesIn(files_and_types()), [](const auto& test) {
  return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
});

// --- decays and exponents ---

struct Wkv4Run {
  at::Tensor y, state;
  Tensors gradients;  // by w, u, k, v and the state
};

Wkv4Run run_with_decay(double w) {
  OpInputs inputs = make_inputs(op_case("wkv4"), {}, at::kFloat, 21, true);
  inputs.arguments[0] = at::full_like(inputs.arguments[0], w).detach().requires_grad_();
  const Tensors outputs = op_case("wkv4").call(inputs.arguments, inputs.states, {});
  return {outputs[0], outputs[1], gradients(outputs, inputs.all())};
}

TEST(Wkv4, a_decay_of_minus_infinity_keeps_everything) {
  const Wkv4Run kept = run_with_decay(-kInf), nearly = run_with_decay(-60);
  EXPECT_TRUE(at::equal(kept.y, nearly.y));
  EXPECT_TRUE(at::equal(kept.state, nearly.state));
  EXPECT_TRUE(at::equal(kept.gradients[0], at::zeros_like(kept.gradients[0])));
}

TEST(Wkv4, a_decay_that_overflows_forgets_everything_and_has_no_gradient) {
  for (const double w : {6.0, 89.0, 1e30, kInf}) {
    const Wkv4Run run = run_with_decay(w);
    const OpInputs inputs = make_inputs(op_case("wkv4"), {}, at::kFloat, 21);
    const at::Tensor k = inputs.arguments[2], v = inputs.arguments[3];
    EXPECT_LE(difference(run.state.select(1, 0), v.select(1, -1)), 1e-30) << w;
    EXPECT_TRUE(at::equal(run.state.select(1, 2), k.select(1, -1))) << w;
    EXPECT_TRUE(at::equal(run.gradients[0], at::zeros_like(run.gradients[0]))) << w;
    for (const at::Tensor& g : run.gradients) EXPECT_TRUE(g.isfinite().all().item<bool>()) << w;
  }
}

TEST(Wkv4, a_key_of_minus_infinity_adds_nothing) {
  const OpInputs inputs = make_inputs(op_case("wkv4"), {.time = 3}, at::kDouble, 22);
  Tensors x = inputs.arguments, without = inputs.arguments;
  x[0] = at::full_like(x[0], kInf), without[0] = x[0];
  x[2].select(1, 1).fill_(-kInf);
  const Tensors outputs = op_case("wkv4").call(x, inputs.states, {});
  EXPECT_TRUE(outputs[1].isfinite().all().item<bool>());
  EXPECT_LE(difference(outputs[1].select(1, 0), x[3].select(1, 2)), 1e-30);
  EXPECT_TRUE(outputs[0].isfinite().all().item<bool>());
}

TEST(Wkv4, only_differences_of_keys_matter) {
  const OpInputs inputs = make_inputs(op_case("wkv4"), {}, at::kDouble, 23);
  Tensors shifted = inputs.arguments;
  shifted[2] = shifted[2] + 1e4;
  const at::Tensor y = op_case("wkv4").call(inputs.arguments, {}, {})[0];
  EXPECT_LE(difference(op_case("wkv4").call(shifted, {}, {})[0], y), 1e-10);
}

TEST(Wkv4, a_single_token_without_a_state_is_its_value) {
  const OpInputs inputs = make_inputs(op_case("wkv4"), {.time = 1}, at::kFloat, 24);
  EXPECT_TRUE(at::equal(op_case("wkv4").call(inputs.arguments, {}, {})[0], inputs.arguments[3]));
}

TEST(Wkv4, a_nan_stays_in_its_channel_and_reaches_what_depends_on_it) {
  for (const size_t i : {0, 1, 2, 3}) {
    const OpInputs inputs = make_inputs(op_case("wkv4"), {}, at::kFloat, 25);
    const at::Tensor expected = op_case("wkv4").call(inputs.arguments, inputs.states, {})[0];
    inputs.arguments[i].select(-1, 3).fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor y = op_case("wkv4").call(inputs.arguments, inputs.states, {})[0];
    const int64_t first = i == 0 ? 1 : 0;  // the first token does not depend on w
    EXPECT_TRUE(y.select(-1, 3).slice(1, first).isnan().all().item<bool>()) << kNames[i];
    EXPECT_TRUE(at::equal(y.slice(-1, 4), expected.slice(-1, 4))) << kNames[i];
  }
}

TEST(Wkv4, the_gradient_of_the_state_s_exponent_goes_to_the_key_that_set_it) {
  const auto row = [](std::initializer_list<double> values) {
    return at::tensor(at::ArrayRef<double>(values), at::kDouble).view({1, -1, 1}).requires_grad_();
  };
  const at::Tensor w = at::full({1}, -2.0, at::kDouble), u = at::zeros({1}, at::kDouble);
  const at::Tensor k = row({0.0, 3.0, 1.0}), v = row({1.0, 2.0, 3.0});
  const at::Tensor after = std::get<1>(ops::wkv4(w, u, k, v));
  const at::Tensor by_k = torch::autograd::grad({after.select(1, 2).sum()}, {k})[0];
  EXPECT_TRUE(at::equal(by_k, row({0.0, 1.0, 0.0})));
}

// --- the decode step ---

class Wkv4Decode : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Wkv4Decode, steps_the_states_of_its_slots_and_no_others) {
  const OpInputs inputs = make_inputs(op_case("wkv4"), {.batch = 3, .time = 1, .heads = 3, .key = 7}, GetParam(), 26);
  const Tensors& x = inputs.arguments;
  at::Tensor pool = make_inputs(op_case("wkv4"), {.batch = 5, .heads = 3, .key = 7}, GetParam(), 27).states[0];
  const at::Tensor slots = bounds({4, 0, 2}), others = bounds({1, 3}), before = pool.clone();
  const auto [y, after] = ops::wkv4(x[0], x[1], x[2], x[3], pool.index_select(0, slots));
  const at::Tensor found = ops::wkv4_decode_(x[0], x[1], x[2].squeeze(1), x[3].squeeze(1), pool, slots);
  EXPECT_TRUE(at::equal(found, y.squeeze(1)));
  EXPECT_TRUE(at::equal(pool.index_select(0, slots), after));
  EXPECT_TRUE(at::equal(pool.index_select(0, others), before.index_select(0, others)));
}

INSTANTIATE_TEST_SUITE_P(Type, Wkv4Decode, testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf),
                         [](const auto& test) { return at::toString(test.param); });

TEST(Wkv4DecodePool, states_of_a_layer_may_be_apart_in_the_pool) {
  const OpInputs inputs = make_inputs(op_case("wkv4"), {.time = 1}, at::kFloat, 28);
  const Tensors& x = inputs.arguments;
  at::Tensor all_layers = at::zeros({4, 2, 3, 32}), dense = at::zeros({4, 3, 32});
  at::Tensor layer = all_layers.select(1, 1);
  ops::wkv4_decode_(x[0], x[1], x[2].squeeze(1), x[3].squeeze(1), layer, bounds({3, 1}));
  ops::wkv4_decode_(x[0], x[1], x[2].squeeze(1), x[3].squeeze(1), dense, bounds({3, 1}));
  EXPECT_TRUE(at::equal(layer, dense));
  EXPECT_TRUE(at::equal(all_layers.select(1, 0), at::zeros({4, 3, 32})));
}

struct DecodeRefusal {
  const char* name;
  std::function<void(Tensors& x, at::Tensor& pool, at::Tensor& slots)> spoil;
  const char* message;
};

class Wkv4DecodeRefuses : public testing::TestWithParam<DecodeRefusal> {};

TEST_P(Wkv4DecodeRefuses, and_writes_nothing) {
  Tensors x = make_inputs(op_case("wkv4"), {}, at::kFloat, 29).arguments;
  x[2] = x[2].select(1, 0), x[3] = x[3].select(1, 0);
  at::Tensor pool = at::ones({4, 3, 32}), slots = bounds({3, 1});
  GetParam().spoil(x, pool, slots);
  const at::Tensor before = pool.clone();
  try {
    ops::wkv4_decode_(x[0], x[1], x[2], x[3], pool, slots);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
  EXPECT_TRUE(at::equal(pool, before));
}

INSTANTIATE_TEST_SUITE_P(
    Call, Wkv4DecodeRefuses,
    testing::Values(DecodeRefusal{"k_with_time", [](auto& x, auto&, auto&) { x[2] = x[2].unsqueeze(1); },
                                  "wkv4_decode_: k must have the 2 dimensions [B, C], got shape [2, 1, 32]"},
                    DecodeRefusal{"v_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(0, 0, 1); },
                                  "wkv4_decode_: v must have shape [B, C] = [2, 32], got [1, 32]"},
                    DecodeRefusal{"w_shape", [](auto& x, auto&, auto&) { x[0] = x[0].narrow(0, 0, 31); },
                                  "wkv4_decode_: w must have shape [C] = [32], got [31]"},
                    DecodeRefusal{"u_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
                                  "wkv4_decode_: u must have dtype Float, got Half"},
                    DecodeRefusal{"pool_shape", [](auto&, auto& pool, auto&) { pool = pool.narrow(1, 0, 2); },
                                  "wkv4_decode_: pool must have shape [P, 3, C] = [4, 3, 32], got [4, 2, 32]"},
                    DecodeRefusal{"pool_dtype", [](auto&, auto& pool, auto&) { pool = pool.to(at::kDouble); },
                                  "wkv4_decode_: pool must have dtype Float, got Double"},
                    DecodeRefusal{"pool_strides",
                                  [](auto&, auto& pool, auto&) {
                                    pool = at::ones({4, 32, 3}).transpose(1, 2);
                                  },
                                  "wkv4_decode_: pool must have contiguous states apart from each other"},
                    DecodeRefusal{"slots_shape", [](auto&, auto&, auto& slots) { slots = slots.narrow(0, 0, 1); },
                                  "wkv4_decode_: slots must have shape [B] = [2], got [1]"},
                    DecodeRefusal{"slots_dtype", [](auto&, auto&, auto& slots) { slots = slots.to(at::kInt); },
                                  "wkv4_decode_: slots must have dtype Long, got Int"},
                    DecodeRefusal{"slot_beyond",
                                  [](auto&, auto&, auto& slots) {
                                    slots = bounds({1, 4});
                                  },
                                  "wkv4_decode_: slots must be 0 to P - 1 = 3, got 4 at entry 1"},
                    DecodeRefusal{"slot_negative",
                                  [](auto&, auto&, auto& slots) {
                                    slots = bounds({1, -1});
                                  },
                                  "wkv4_decode_: slots must be 0 to P - 1 = 3, got -1 at entry 1"},
                    DecodeRefusal{"slot_twice",
                                  [](auto&, auto&, auto& slots) {
                                    slots = bounds({3, 3});
                                  },
                                  "wkv4_decode_: slots must be distinct, got 3 twice"}),
    [](const auto& test) { return test.param.name; });

// --- refusals ---

const Refusal kRefusals[] = {
    {"w_shape", [](auto& x, auto&, auto&) { x[0] = x[0].narrow(0, 0, 31); },
     "wkv4: w must have shape [C] = [32], got [31]"},
    {"w_per_batch",
     [](auto& x, auto&, auto&) {
       x[0] = x[0].expand({2, 32});
     },
     "wkv4: w must have the 1 dimensions [C], got shape [2, 32]"},
    {"u_shape", [](auto& x, auto&, auto&) { x[1] = x[1].repeat(2); }, "wkv4: u must have shape [C] = [32], got [64]"},
    {"k_two_dimensions", [](auto& x, auto&, auto&) { x[2] = x[2].select(0, 0); },
     "wkv4: k must have the 3 dimensions [B, T, C], got shape [17, 32]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(1, 0, 16); },
     "wkv4: v must have shape [B, T, C] = [2, 17, 32], got [2, 16, 32]"},
    {"state_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(1, 0, 2); },
     "wkv4: state must have shape [B, 3, C] = [2, 3, 32], got [2, 2, 32]"},
    {"k_integer", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kInt); },
     "wkv4: k must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"w_dtype", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kHalf); }, "wkv4: w must have dtype Float, got Half"},
    {"u_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kDouble); },
     "wkv4: u must have dtype Float, got Double"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kBFloat16); },
     "wkv4: v must have dtype Float, got BFloat16"},
    {"state_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "wkv4: state must have dtype Float, got Half"},
    {"w_undefined", [](auto& x, auto&, auto&) { x[0] = at::Tensor(); }, "wkv4: w must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kMeta); }, "wkv4: v must be on cpu as k is, got meta"},
    {"u_meta", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kMeta); }, "wkv4: u must be on cpu as k is, got meta"},
    {"state_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "wkv4: state must be on cpu as k is, got meta"},
    {"k_sparse", [](auto& x, auto&, auto&) { x[2] = x[2].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "wkv4: with cu_seqlens the batch must be 1, got k of shape [2, 17, 32]"},
    {"packed_end",
     [](auto& x, auto& states, auto& cu) {
       for (const size_t i : {2, 3}) x[i] = x[i].narrow(0, 0, 1);
       states.clear();
       cu = bounds({0, 16});
     },
     "wkv4: cu_seqlens must end at T = 17, got 16"},
    {"packed_states",
     [](auto& x, auto&, auto& cu) {
       for (const size_t i : {2, 3}) x[i] = x[i].narrow(0, 0, 1);
       cu = bounds({0, 4, 5, 17});
     },
     "wkv4: state must have shape [S, 3, C] = [3, 3, 32], got [2, 3, 32]"},
};

class Wkv4Refuses : public testing::TestWithParam<Refusal> {};

TEST_P(Wkv4Refuses, with_a_message_that_names_the_argument) { expect_refused(op_case("wkv4"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, Wkv4Refuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::wkv4_op
