// based_linear_attention alone: its golden files, its states, and what it refuses.
#include "reference/based_linear_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::based_linear_attention_op {
namespace {

using reference::taylor_features;

OpCase based_linear_attention_case() {
  // The op takes feature sizes up to 64.
  const auto of_size = [](const OpShape& s) { return std::min<int64_t>(s.key, 64); };
  const auto elements = [=](const OpShape& s) {
    return random_keys(0.8)({.batch = s.batch, .time = s.time, .heads = s.heads, .key = of_size(s)});
  };
  const auto options = at::TensorOptions().dtype(at::kDouble);
  return {
      .name = "based_linear_attention",
      .arguments = {{"q", true, false, elements}, {"k", true, false, elements}, {"v", true, false, random_values(1)}},
      // Any kv state, which need not be symmetric; a k state near one of three keys, so that no normaliser is near 0.
      .states =
          {[=](const OpShape& s) {
             const int64_t d = of_size(s);
             return at::randn({s.batch, s.heads, s.value, 1 + d + d * d}, options);
           },
           [=](const OpShape& s) {
             const at::Tensor sum = taylor_features(at::randn({s.batch, s.heads, 3, of_size(s)}, options)).sum(-2);
             return sum + at::randn_like(sum) * 0.01 / std::sqrt(static_cast<double>(of_size(s)));
           }},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            auto [y, kv, k] =
                ops::based_linear_attention(x[0], x[1], x[2], if_defined(state_at(states, 0)),
                                            if_defined(state_at(states, 1)), true, 1e-12, if_defined(cu_seqlens));
            return Tensors{y, kv, k};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            auto [y, kv, k] =
                reference::based_linear_attention(x[0], x[1], x[2], state_at(states, 0), state_at(states, 1));
            return Tensors{y, kv, k};
          },
  };
}
const OpCaseRow kRow(based_linear_attention_case());

OpInputs based_inputs(const OpShape& shape, at::ScalarType dtype, uint64_t seed) {
  return make_inputs(op_case("based_linear_attention"), shape, dtype, seed, true);
}

// --- golden files ---

class BasedFixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

TEST_P(BasedFixture, outputs_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("based_linear_attention/" + name + ".safetensors"));
  const int64_t T = fixture.at("in.q").size(2);
  const Tolerance tolerance = fixture_tolerance(name, dtype, T);
  const auto sequence = [&](const char* key) { return fixture.at(key).transpose(1, 2).to(dtype); };  // from B, H, T, D
  const auto kv_state = [&](const std::string& key) { return fixture.at(key).squeeze(2).to(state_dtype(dtype)); };
  const auto k_state = [&](const std::string& key) { return kv_state(key).squeeze(2); };
  const bool with_states = fixture.contains("in.kv_state");

  Tensors x, outputs, weights;
  for (const char* key : {"in.q", "in.k", "in.v"}) x.push_back(sequence(key).requires_grad_());
  if (with_states) {
    x.push_back(kv_state("in.kv_state").requires_grad_());
    x.push_back(k_state("in.k_state").requires_grad_());
  }
  const auto [y, kv, k] =
      ops::based_linear_attention(x[0], x[1], x[2], if_defined(state_at(x, 3)), if_defined(state_at(x, 4)));
  const std::string after = "state.after_" + std::to_string(T);
  EXPECT_LE(difference(y.transpose(1, 2), fixture.at("out.y")), tolerance.output);
  EXPECT_LE(difference(kv, kv_state(after + ".kv_state")), tolerance.output);
  EXPECT_LE(difference(k, k_state(after + ".k_state")), tolerance.output);

  outputs = {y};
  weights = {sequence("in.grad_out")};
  if (with_states) {
    outputs.insert(outputs.end(), {kv, k});
    weights.insert(weights.end(), {kv_state("in.grad_kv_state_out"), k_state("in.grad_k_state_out")});
  }
  const Tensors found = torch::autograd::grad(outputs, x, weights);
  double largest = 0;
  for (const auto& [key, tensor] : fixture) {
    if (key.rfind("grad.", 0) == 0) largest = std::max(largest, tensor.abs().max().item<double>());
  }
  const char* const names[] = {"grad.q", "grad.k", "grad.v", "grad.kv_state", "grad.k_state"};
  for (size_t i = 0; i < x.size(); ++i) {
    const at::Tensor gradient = i < 3 ? found[i].transpose(1, 2) : found[i].view_as(fixture.at(names[i]));
    EXPECT_LE(difference(gradient, fixture.at(names[i]), 1e-3 * largest), tolerance.gradient) << names[i];
  }
}

TEST_P(BasedFixture, unnormalised_outputs_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("based_linear_attention/" + name + ".safetensors"));
  if (!fixture.contains("out.y_unnormalised")) return;
  const auto sequence = [&](const char* key) { return fixture.at(key).transpose(1, 2).to(dtype); };
  const at::Tensor y = std::get<0>(ops::based_linear_attention(sequence("in.q"), sequence("in.k"), sequence("in.v"),
                                                               std::nullopt, std::nullopt, false));
  EXPECT_LE(difference(y.transpose(1, 2), fixture.at("out.y_unnormalised")), tolerance_of(dtype).output);
}

TEST_P(BasedFixture, the_state_in_the_middle_agrees) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("based_linear_attention/" + name + ".safetensors"));
  if (fixture.contains("in.kv_state")) return;
  for (const auto& [key, expected] : fixture) {
    if (key.rfind("state.after_", 0) != 0 || key.find(".kv_state") == std::string::npos) continue;
    const int64_t T = std::stoll(key.substr(12));
    const auto start = [&](const char* input) { return fixture.at(input).narrow(2, 0, T).transpose(1, 2).to(dtype); };
    const at::Tensor kv = std::get<1>(ops::based_linear_attention(start("in.q"), start("in.k"), start("in.v")));
    EXPECT_LE(difference(kv, expected.squeeze(2)), tolerance_of(dtype).output) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(
    File, BasedFixture,
    testing::Combine(testing::ValuesIn(fixture_names("based_linear_attention", {"d8_v12_t64_f64"})),
                     testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
    [](const auto& test) { return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param)); });

// --- options ---

struct BasedOptions {
  const char* name;
  bool normalize;
  double eps;
};

class BasedOption : public testing::TestWithParam<BasedOptions> {};

TEST_P(BasedOption, outputs_and_gradients_agree_with_the_reference) {
  const auto& [name, normalize, eps] = GetParam();
  const OpInputs inputs = based_inputs({.time = 75}, at::kDouble, 41);
  const Tensors all = inputs.all();
  const auto [y, kv, k] = ops::based_linear_attention(all[0], all[1], all[2], all[3], all[4], normalize, eps);
  const auto [expected_y, expected_kv, expected_k] =
      reference::based_linear_attention(all[0], all[1], all[2], all[3], all[4], normalize, eps);
  EXPECT_LE(difference(y, expected_y), 1e-12);
  const Tensors found = gradients({y, kv, k}, all), expected = gradients({expected_y, expected_kv, expected_k}, all);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-11) << i;
}

INSTANTIATE_TEST_SUITE_P(Of, BasedOption,
                         testing::Values(BasedOptions{"not_normalised", false, 1e-12},
                                         BasedOptions{"the_eps_of_other_kernels", true, 1e-6},
                                         BasedOptions{"a_large_eps", true, 10}),
                         [](const auto& test) { return test.param.name; });

// --- states ---

TEST(BasedLinearAttention, each_state_may_be_given_alone) {
  const OpInputs inputs = based_inputs({}, at::kDouble, 42);
  const Tensors& x = inputs.arguments;
  for (const size_t given : {0, 1}) {
    Tensors states(2);
    states[given] = inputs.states[given];
    const auto [y, kv, k] = ops::based_linear_attention(x[0], x[1], x[2], if_defined(states[0]), if_defined(states[1]));
    const auto [expected_y, expected_kv, expected_k] =
        reference::based_linear_attention(x[0], x[1], x[2], states[0], states[1]);
    EXPECT_LE(difference(y, expected_y), 1e-9) << given;  // without a k state the first normaliser is small
    EXPECT_LE(difference(kv, expected_kv), 1e-12) << given;
    EXPECT_LE(difference(k, expected_k), 1e-12) << given;
    const Tensors found = gradients({y, kv, k}, {states[given]}),
                  expected = gradients({expected_y, expected_kv, expected_k}, {states[given]});
    EXPECT_LE(difference(found[0], expected[0]), 1e-9) << given;
  }
}

TEST(BasedLinearAttention, without_tokens_the_states_are_unchanged) {
  const OpInputs inputs = based_inputs({.time = 0}, at::kFloat, 43);
  const Tensors all = inputs.all();
  const auto [y, kv, k] = ops::based_linear_attention(all[0], all[1], all[2], all[3], all[4]);
  EXPECT_TRUE(at::equal(kv, all[3]));
  EXPECT_TRUE(at::equal(k, all[4]));
}

TEST(BasedLinearAttention, the_gradients_of_a_single_token_are_not_rounding_errors) {
  // The output is v, whatever q and k are: but for eps, their gradients are zero.
  const OpInputs inputs = based_inputs({.time = 1}, at::kFloat, 44);
  const Tensors& x = inputs.arguments;
  const Tensors found = gradients({std::get<0>(ops::based_linear_attention(x[0], x[1], x[2]))}, x);
  for (const size_t i : {0, 1}) EXPECT_LE(found[i].abs().max().item<double>(), 1e-10) << i;
}

TEST(BasedLinearAttention, a_token_has_no_influence_on_those_before_it) {
  const OpInputs inputs = based_inputs({.time = 41}, at::kFloat, 45);
  const at::Tensor expected = op_case("based_linear_attention").call(inputs.arguments, inputs.states, {})[0];
  for (const int64_t at : {1, 6, 35}) {
    Tensors x;
    for (const at::Tensor& argument : inputs.arguments) {
      x.push_back(argument.detach().clone());
      x.back().narrow(1, at, 1).fill_(std::numeric_limits<float>::quiet_NaN());
    }
    const at::Tensor y = op_case("based_linear_attention").call(x, inputs.states, {})[0];
    EXPECT_TRUE(at::equal(y.narrow(1, 0, at), expected.narrow(1, 0, at))) << at;
  }
}

TEST(BasedLinearAttention, large_queries_and_keys_stay_accurate) {
  OpInputs inputs = based_inputs({.time = 70}, at::kFloat, 46);
  Tensors x, doubles;
  for (size_t i = 0; i < 3; ++i) {
    x.push_back((inputs.arguments[i].detach() * (i < 2 ? 30 : 1)).requires_grad_());
    doubles.push_back(x[i].detach().to(at::kDouble).requires_grad_());
  }
  const at::Tensor y = std::get<0>(ops::based_linear_attention(x[0], x[1], x[2])),
                   expected =
                       std::get<0>(reference::based_linear_attention(doubles[0], doubles[1], doubles[2], {}, {}));
  EXPECT_LE(difference(y, expected), 3e-4);
  const Tensors found = gradients({y}, x), expected_gradients = gradients({expected}, doubles);
  for (size_t i = 0; i < 3; ++i) EXPECT_LE(difference(found[i], expected_gradients[i]), 1e-3) << i;
}

// --- refusals ---

const Refusal kRefusals[] = {
    {"q_three_dimensions", [](auto& x, auto&, auto&) { x[0] = x[0].select(0, 0); },
     "based_linear_attention: q must have the 4 dimensions [B, T, H, d], got shape [17, 2, 16]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(3, 0, 8); },
     "based_linear_attention: k must have shape [B, T, H, d] = [2, 17, 2, 16], got [2, 17, 2, 8]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(2, 0, 1); },
     "based_linear_attention: v must have shape [B, T, H, dv] = [2, 17, 2, 16], got [2, 17, 1, 16]"},
    {"kv_state_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(3, 0, 272); },
     "based_linear_attention: kv_state must have shape [B, H, dv, 1 + d + d^2] = [2, 2, 16, 273], got [2, 2, 16, 272]"},
    {"k_state_shape", [](auto&, auto& states, auto&) { states[1] = states[1].narrow(0, 0, 1); },
     "based_linear_attention: k_state must have shape [B, H, 1 + d + d^2] = [2, 2, 273], got [1, 2, 273]"},
    {"feature_size_too_large",
     [](auto& x, auto& states, auto&) {
       x[0] = x[1] = at::zeros({2, 17, 2, 65});
       states.clear();
     },
     "based_linear_attention: the feature size d must be 1 to 64, got 65"},
    {"feature_size_zero",
     [](auto& x, auto& states, auto&) {
       x[0] = x[1] = at::zeros({2, 17, 2, 0});
       states.clear();
     },
     "based_linear_attention: the feature size d must be 1 to 64, got 0"},
    {"value_size_too_large",
     [](auto& x, auto& states, auto&) {
       x[2] = at::zeros({2, 17, 2, 257});
       states.clear();
     },
     "based_linear_attention: the value size dv of v must be 1 to 256, got 257"},
    {"q_integer", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "based_linear_attention: q must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
     "based_linear_attention: k must have dtype Float, got Half"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kDouble); },
     "based_linear_attention: v must have dtype Float, got Double"},
    {"kv_state_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "based_linear_attention: kv_state must have dtype Float, got Half"},
    {"k_state_dtype", [](auto&, auto& states, auto&) { states[1] = states[1].to(at::kDouble); },
     "based_linear_attention: k_state must have dtype Float, got Double"},
    {"k_undefined", [](auto& x, auto&, auto&) { x[1] = at::Tensor(); },
     "based_linear_attention: k must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kMeta); },
     "based_linear_attention: v must be on cpu as q is, got meta"},
    {"kv_state_meta", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kMeta); },
     "based_linear_attention: kv_state must be on cpu as q is, got meta"},
    {"k_state_meta", [](auto&, auto& states, auto&) { states[1] = states[1].to(at::kMeta); },
     "based_linear_attention: k_state must be on cpu as q is, got meta"},
    {"q_sparse", [](auto& x, auto&, auto&) { x[0] = x[0].to_sparse(); }, "dense (strided)"},
    {"packed_batch",
     [](auto&, auto&, auto& cu) {
       cu = bounds({0, 17});
     },
     "based_linear_attention: with cu_seqlens the batch must be 1, got q of shape [2, 17, 2, 16]"},
    {"packed_states",
     [](auto& x, auto&, auto& cu) {
       for (auto& t : x) t = t.narrow(0, 0, 1);
       cu = bounds({0, 9, 12, 17});
     },
     "based_linear_attention: kv_state must have shape [S, H, dv, 1 + d + d^2] = [3, 2, 16, 273], got"},
    {"packed_bounds",
     [](auto& x, auto& states, auto& cu) {
       for (auto& t : x) t = t.narrow(0, 0, 1);
       states.clear();
       cu = bounds({0, 9, 16});
     },
     "based_linear_attention: cu_seqlens must end at T = 17, got 16"},
};

class BasedRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(BasedRefuses, with_a_message_that_names_the_argument) {
  expect_refused(op_case("based_linear_attention"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, BasedRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::based_linear_attention_op
