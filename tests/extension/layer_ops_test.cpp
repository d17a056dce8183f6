// What the models' layers are made of, _mix_tokens, _gated_head_norm, _wkv7_inputs and _squared_relu: their rows in the
// table of ops, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::layer_ops {
namespace {

constexpr int64_t kMixes = 3;

// As the definition says it. changes [B, T, M, C] may be undefined; the result [B, T, M, C].
at::Tensor reference_mix(const at::Tensor& x, const at::Tensor& last, const at::Tensor& mixes,
                         const at::Tensor& changes) {
  const at::Tensor before = at::cat({last.unsqueeze(1), x}, 1).narrow(1, 0, x.size(1));
  const at::Tensor mix = changes.defined() ? mixes + changes : mixes;
  return x.unsqueeze(2) + (before - x).unsqueeze(2) * mix;
}

at::Tensor last_or_zeros(const Tensors& states, const at::Tensor& x, const at::Tensor& cu_seqlens) {
  if (!states.empty()) return states[0];
  return at::zeros({cu_seqlens.defined() ? cu_seqlens.size(0) - 1 : x.size(0), x.size(2)}, x.options());
}

OpCase mix_tokens_case(bool with_changes) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  OpCase op = {
      .name = with_changes ? "_mix_tokens_with_changes" : "_mix_tokens",
      .arguments = {{"x", true, false, random_channels(1)},
                    {"mixes", false, true,
                     [=](const OpShape& s) {
                       return at::randn({kMixes, s.heads * s.key}, options);
                     }}},
      .states = {[=](const OpShape& s) {
        return at::randn({s.batch, s.heads * s.key}, options);
      }},
      .call =
          [](const Tensors& x, const Tensors& states, const at::Tensor& cu_seqlens) {
            const at::Tensor changes = x.size() > 2 ? x[2].permute({2, 0, 1, 3}) : at::Tensor();
            auto [mixed, last] = ops::mix_tokens(x[0], last_or_zeros(states, x[0], cu_seqlens), x[1],
                                                 if_defined(changes), if_defined(cu_seqlens));
            return Tensors{mixed.permute({1, 2, 0, 3}).contiguous(), last};
          },
      .reference =
          [](const Tensors& x, const Tensors& states) {
            const at::Tensor last = last_or_zeros(states, x[0], {});
            return Tensors{reference_mix(x[0], last, x[1], state_at(x, 2)),
                           at::cat({last.unsqueeze(1), x[0]}, 1).select(1, x[0].size(1))};
          },
      .states_have_io_dtype = true,
  };
  if (with_changes) {
    op.arguments.push_back({"changes", true, false, [=](const OpShape& s) {
                              return at::randn({s.batch, s.time, kMixes, s.heads * s.key}, options);
                            }});
  }
  return op;
}
const OpCaseRow kRow(mix_tokens_case(false)), kRowWithChanges(mix_tokens_case(true));

const OpCaseRow kSquaredRelu({
    .name = "_squared_relu",
    .arguments = {{"x", true, false, random_channels(1)}},
    .call = [](const Tensors& x, const Tensors&, const at::Tensor&) { return Tensors{ops::squared_relu(x[0])}; },
    .reference = [](const Tensors& x, const Tensors&) { return Tensors{at::relu(x[0]).square()}; },
});

// Normalised by heads, [B, T, H, N].
at::Tensor head_norm(const Tensors& x) {
  const at::Tensor centred = x[0] - x[0].mean(-1, true);
  return centred / (centred.square().mean(-1, true) + 1e-3).sqrt() * x[1] + x[2];
}

const OpCaseRow kGatedHeadNorm({
    .name = "_gated_head_norm",
    .arguments = {{"x", true, true, random_keys(1, 0.3)},
                  {"weight", false, true, random_per_key(1, 1)},
                  {"bias", false, true, random_per_key(1)},
                  {"gate", true, false, random_keys(1)}},
    .call = [](const Tensors& x, const Tensors&,
               const at::Tensor&) { return Tensors{ops::gated_head_norm(x[0], x[1], x[2], x[3], 1e-3, true)}; },
    .reference = [](const Tensors& x, const Tensors&) { return Tensors{head_norm(x) * at::silu(x[3])}; },
});

const OpCaseRow kGatedHeadNormWithBonus({
    .name = "_gated_head_norm_with_bonus",
    .arguments = {{"x", true, true, random_keys(1, 0.3)},
                  {"weight", false, true, random_per_key(1, 1)},
                  {"bias", false, true, random_per_key(1)},
                  {"gate", true, false, random_keys(1)},
                  {"r", true, false, random_keys(0.5)},
                  {"k", true, false, random_keys(0.5)},
                  {"v", true, false, random_keys(1)},
                  {"bonus", false, true, random_per_key(0.5)}},
    .call =
        [](const Tensors& x, const Tensors&, const at::Tensor&) {
          return Tensors{ops::gated_head_norm(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], 1e-3)};
        },
    .reference =
        [](const Tensors& x, const Tensors&) {
          return Tensors{(head_norm(x) + (x[4] * x[5] * x[7]).sum(-1, true) * x[6]) * x[3]};
        },
});

// As the definition says it; x: decay, rate, k, w0, a0, k_k, k_a, and, where there is a v: v, first_value, residual,
// v0.
Tensors reference_wkv7_inputs(const Tensors& x) {
  const at::Tensor removal = x[2] * x[5], rate = at::sigmoid(x[1] + x[4]),
                   unit = removal / removal.square().sum(-1, true).sqrt().clamp_min(1e-12);
  Tensors outputs = {-std::exp(-0.5) * at::sigmoid(x[0] + x[3]), x[2] * (1 + (rate - 1) * x[6]), -unit, unit * rate};
  if (x.size() > 7) outputs.push_back(at::lerp(x[7], x[8], at::sigmoid(x[9] + x[10])));
  return outputs;
}

// Its outputs side by side: [B, T, H, 4 N] or [B, T, H, 5 N].
at::Tensor call_wkv7_inputs(const Tensors& x) {
  auto [w, k, a, b, v] = x.size() > 7
                             ? ops::wkv7_inputs(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10])
                             : ops::wkv7_inputs(x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
  Tensors outputs = {w.to(k.scalar_type()), k, a, b};
  if (x.size() > 7) outputs.push_back(v);
  return at::cat(outputs, -1);
}

OpCase wkv7_inputs_case(bool with_value) {
  OpCase op = {
      .name = with_value ? "_wkv7_inputs_with_value" : "_wkv7_inputs",
      .arguments = {{"decay", true, false, random_keys(1)},
                    {"rate", true, false, random_keys(1)},
                    {"k", true, false, random_keys(1)},
                    {"w0", false, true, random_per_key(1)},
                    {"a0", false, true, random_per_key(1)},
                    {"k_k", false, true, random_per_key(0.3, 1)},
                    {"k_a", false, true, random_per_key(0.3, 1)}},
      .call = [](const Tensors& x, const Tensors&, const at::Tensor&) { return Tensors{call_wkv7_inputs(x)}; },
      .reference = [](const Tensors& x, const Tensors&) { return Tensors{at::cat(reference_wkv7_inputs(x), -1)}; },
      .nan_fills_output = false,
  };
  if (!with_value) return op;
  for (const char* name : {"v", "first_value", "residual"}) op.arguments.push_back({name, true, false, random_keys(1)});
  op.arguments.push_back({"v0", false, true, random_per_key(1)});
  return op;
}
const OpCaseRow kWkv7Inputs(wkv7_inputs_case(false)), kWkv7InputsWithValue(wkv7_inputs_case(true));

TEST(Wkv7Inputs, WriteTheDecayInFloat) {
  const OpInputs inputs = make_inputs(op_case("_wkv7_inputs"), OpShape{}, at::kBFloat16);
  const Tensors& x = inputs.arguments;
  const auto [w, k, a, b, v] = ops::wkv7_inputs(x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
  EXPECT_EQ(w.scalar_type(), at::kFloat);
  for (const at::Tensor& tensor : {k, a, b, v}) EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
  EXPECT_EQ(v.numel(), 0);
}

// A key of zeros has no direction; nothing is divided by zero, forward or backward.
TEST(Wkv7Inputs, KeysOfZerosRemoveNothing) {
  OpInputs inputs = make_inputs(op_case("_wkv7_inputs"), OpShape{}, at::kDouble, /*seed=*/1, /*requires_grad=*/true);
  Tensors& x = inputs.arguments;
  x[2] = at::zeros_like(x[2]).requires_grad_();
  const auto [w, k, a, b, v] = ops::wkv7_inputs(x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
  for (const at::Tensor& tensor : {k, a, b}) EXPECT_EQ(tensor.abs().max().item<double>(), 0);
  const Tensors outputs = reference_wkv7_inputs(x), of = {x[0], x[1], x[2], x[3], x[4], x[6]};  // k_k is in neither
  const Tensors found = gradients({w, k}, of), expected = gradients({outputs[0], outputs[1]}, of);
  for (size_t i = 0; i < of.size(); ++i) EXPECT_LT(difference(found[i], expected[i], /*floor=*/1), 1e-12) << i;
}

const Refusal kRefusals[] = {
    {"mixes_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(1, 0, 31); },
     "_mix_tokens: mixes must have shape [M, C] = [3, 32], got [3, 31]"},
    {"no_mix", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(0, 0, 0); },
     "_mix_tokens: mixes must have 1 to 8 rows, got 0"},
    {"too_many_mixes",
     [](auto& x, auto&, auto&) {
       x[1] = at::cat({x[1], x[1], x[1]});
     },
     "_mix_tokens: mixes must have 1 to 8 rows, got 9"},
    {"changes_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(2, 0, 2); },
     "_mix_tokens: changes must have shape [M, B, T, C] = [3, 2, 17, 32], got [2, 2, 17, 32]"},
    {"last_shape", [](auto&, auto& states, auto&) { states[0] = states[0].narrow(0, 0, 1); },
     "_mix_tokens: last must have shape [B, C] = [2, 32], got [1, 32]"},
    {"last_dtype", [](auto&, auto& states, auto&) { states[0] = states[0].to(at::kHalf); },
     "_mix_tokens: last must have dtype Float, got Half"},
    {"changes_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kBFloat16); },
     "_mix_tokens: changes must have dtype Float, got BFloat16"},
    {"mixes_meta", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kMeta); },
     "_mix_tokens: mixes must be on cpu as x is, got meta"},
    {"packed_bounds",
     [](auto& x, auto& states, auto& cu) {
       for (const size_t i : {0, 2}) x[i] = x[i].narrow(0, 0, 1);
       states.clear();
       cu = bounds({0, 9, 8, 17});
     },
     "_mix_tokens: cu_seqlens must not decrease, got 9 before 8 at entry 2"},
};

const Refusal kNormRefusals[] = {
    {"head_size",
     [](auto& x, auto&, auto&) {
       x[0] = at::zeros({2, 17, 2, 257});
     },
     "_gated_head_norm: the head size N of x must be 1 to 256, got 257"},
    {"gate_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(1, 0, 3); },
     "_gated_head_norm: gate must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 3, 2, 16]"},
    {"weight_shape", [](auto& x, auto&, auto&) { x[1] = x[1].flatten(); },
     "_gated_head_norm: weight must have the 2 dimensions [H, N], got shape [32]"},
    {"x_dtype", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kHalf); },
     "_gated_head_norm: x must have dtype Float, got Half"},
    {"r_dtype", [](auto& x, auto&, auto&) { x[4] = x[4].to(at::kHalf); },
     "_gated_head_norm: r must have dtype Float, got Half"},
    {"k_shape", [](auto& x, auto&, auto&) { x[5] = x[5].narrow(3, 0, 3); },
     "_gated_head_norm: k must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 17, 2, 3]"},
    {"bias_meta", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kMeta); },
     "_gated_head_norm: bias must be on cpu as x is, got meta"},
};

const Refusal kWkv7InputsRefusals[] = {
    {"head_size",
     [](auto& x, auto&, auto&) {
       x[2] = at::zeros({2, 17, 2, 257});
     },
     "_wkv7_inputs: the head size N of k must be 1 to 256, got 257"},
    {"k_dimensions", [](auto& x, auto&, auto&) { x[2] = x[2].flatten(2); },
     "_wkv7_inputs: k must have the 4 dimensions [B, T, H, N], got shape [2, 17, 32]"},
    {"k_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kInt); },
     "_wkv7_inputs: k must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"decay_shape", [](auto& x, auto&, auto&) { x[0] = x[0].narrow(1, 0, 3); },
     "_wkv7_inputs: decay must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 3, 2, 16]"},
    {"rate_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
     "_wkv7_inputs: rate must have dtype Float, got Half"},
    {"w0_shape", [](auto& x, auto&, auto&) { x[3] = x[3].flatten(); },
     "_wkv7_inputs: w0 must have the 2 dimensions [H, N], got shape [32]"},
    {"k_a_dtype", [](auto& x, auto&, auto&) { x[6] = x[6].to(at::kBFloat16); },
     "_wkv7_inputs: k_a must have dtype Float, got BFloat16"},
    {"a0_meta", [](auto& x, auto&, auto&) { x[4] = x[4].to(at::kMeta); },
     "_wkv7_inputs: a0 must be on cpu as k is, got meta"},
    {"first_value_shape", [](auto& x, auto&, auto&) { x[8] = x[8].narrow(3, 0, 3); },
     "_wkv7_inputs: first_value must have shape [B, T, H, N] = [2, 17, 2, 16], got [2, 17, 2, 3]"},
    {"v0_shape", [](auto& x, auto&, auto&) { x[10] = x[10].narrow(0, 0, 1); },
     "_wkv7_inputs: v0 must have shape [H, N] = [2, 16], got [1, 16]"},
};

class Wkv7InputsRefuse : public testing::TestWithParam<Refusal> {};

TEST_P(Wkv7InputsRefuse, with_a_message_that_names_the_argument) {
  expect_refused(op_case("_wkv7_inputs_with_value"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, Wkv7InputsRefuse, testing::ValuesIn(kWkv7InputsRefusals),
                         [](const auto& test) { return test.param.name; });

class GatedHeadNormRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(GatedHeadNormRefuses, with_a_message_that_names_the_argument) {
  expect_refused(op_case("_gated_head_norm_with_bonus"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, GatedHeadNormRefuses, testing::ValuesIn(kNormRefusals),
                         [](const auto& test) { return test.param.name; });

class MixTokensRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(MixTokensRefuses, with_a_message_that_names_the_argument) {
  expect_refused(op_case("_mix_tokens_with_changes"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, MixTokensRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::layer_ops
