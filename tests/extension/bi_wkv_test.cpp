// bi_wkv alone: its golden files, keys and decays beyond the reach of one exponent, the published kernels' numbers, and
// what it refuses.
#include "reference/bi_wkv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::bi_wkv_op {
namespace {

OpCase bi_wkv_case() {
  return {
      .name = "bi_wkv",
      .arguments = {{"w", false, true, random_per_channel(0.05, 0.02)},
                    {"u", false, true, random_per_channel(0.5)},
                    {"k", true, false, random_channels(1)},
                    {"v", true, false, random_channels(1)}},
      .call = [](const Tensors& x, const Tensors&,
                 const at::Tensor&) { return Tensors{ops::bi_wkv(x[0], x[1], x[2], x[3])}; },
      .reference = [](const Tensors& x, const Tensors&) { return Tensors{reference::bi_wkv(x[0], x[1], x[2], x[3])}; },
      .nan_fills_output = false,  // neighbours have no decay between them
  };
}
const OpCaseRow kRow(bi_wkv_case());

constexpr const char* kNames[] = {"w", "u", "k", "v"};

// --- golden files ---

struct BiWkvFile {
  std::string name;
  at::ScalarType dtype;
  bool published;  // the file's second set of results: of the published kernel
};

class BiWkvFixture : public testing::TestWithParam<BiWkvFile> {};

TEST_P(BiWkvFixture, outputs_and_gradients_agree) {
  const auto& [name, dtype, published] = GetParam();
  const Fixture fixture = load_fixture(golden("bi_wkv/" + name + ".safetensors"));
  const Tolerance tolerance = fixture_tolerance(name, dtype, fixture.at("in.k").size(1));
  const std::string y_key = published ? "out.y_upstream" : "out.y", grad_key = published ? "grad_upstream." : "grad.";

  Tensors x, expected;
  for (const char* input : kNames) {
    const at::ScalarType type = *input == 'w' || *input == 'u' ? state_dtype(dtype) : dtype;
    x.push_back(fixture.at(std::string("in.") + input).to(type).requires_grad_());
    expected.push_back(fixture.at(grad_key + input));
  }
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3], published ? 32 : 0);
  // The published kernel adds 1e-6 to the denominator, and ran in fp32 for most files.
  EXPECT_LE(difference(y, fixture.at(y_key)), published ? std::max(tolerance.output, 1e-5) : tolerance.output);

  const Tensors found = torch::autograd::grad({y}, x, {fixture.at("in.gy").to(dtype)});
  double largest = 0;
  for (const at::Tensor& g : expected) largest = std::max(largest, g.abs().max().item<double>());
  for (size_t i = 0; i < x.size(); ++i) {
    const double allowed = published ? std::max(tolerance.gradient, 1e-5) : tolerance.gradient;
    EXPECT_LE(difference(found[i], expected[i], (published ? 1 : 1e-3) * largest), allowed) << kNames[i];
  }
}

std::vector<BiWkvFile> files() {
  std::vector<BiWkvFile> cases;
  for (const std::string& name : fixture_names("bi_wkv", {"f32_B1_T1024_C16", "f32_B1_T196_C32"})) {
    const bool hard = name.find("large") != std::string::npos || name.find("offset") != std::string::npos;
    const bool published = load_fixture(golden("bi_wkv/" + name + ".safetensors")).count("out.y_upstream");
    // Those of fp32 are rounded: they say nothing about fp64.
    const at::ScalarType dtype = name.starts_with("f64")    ? at::kDouble
                                 : name.starts_with("bf16") ? at::kBFloat16
                                 : name.starts_with("f16")  ? at::kHalf
                                                            : at::kFloat;
    for (const at::ScalarType type : {dtype, at::kFloat}) {
      if (type == at::kFloat && dtype == at::kDouble && hard) continue;
      cases.push_back({name, type, false});
      if (published) cases.push_back({name, type, true});
      if (type == dtype && dtype == at::kFloat) break;
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(File, BiWkvFixture, testing::ValuesIn(files()), [](const auto& test) {
  return test.param.name + "_" + at::toString(test.param.dtype) + (test.param.published ? "_published" : "");
});

// --- keys and decays beyond the reach of one exponent ---

struct HardInputs {
  const char* name;
  double w, u, spread, offset;  // the largest w and u, the standard deviation and the mean of the keys
};

class BiWkvHard : public testing::TestWithParam<HardInputs> {};

Tensors hard_inputs(const HardInputs& hard) {
  at::manual_seed(41);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  return {at::linspace(-hard.w, hard.w, 24, options), at::linspace(hard.u, -hard.u, 24, options),
          at::randn({2, 40, 24}, options) * hard.spread + hard.offset, at::randn({2, 40, 24}, options)};
}

TEST_P(BiWkvHard, outputs_and_gradients_agree_with_the_equation) {
  Tensors x = hard_inputs(GetParam());
  for (at::Tensor& input : x) input.requires_grad_();
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3]), expected_y = reference::bi_wkv(x[0], x[1], x[2], x[3]);
  EXPECT_LE(difference(y, expected_y), 1e-11);
  const Tensors found = gradients({y}, x), expected = gradients({expected_y}, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-10) << kNames[i];
}

TEST_P(BiWkvHard, floats_stay_close) {
  Tensors x = hard_inputs(GetParam()), rounded;
  for (at::Tensor& input : x) {
    rounded.push_back(input.to(at::kFloat).requires_grad_());
    input = rounded.back().detach().to(at::kDouble).requires_grad_();
  }
  const at::Tensor y = ops::bi_wkv(rounded[0], rounded[1], rounded[2], rounded[3]),
                   expected_y = reference::bi_wkv(x[0], x[1], x[2], x[3]);
  EXPECT_LE(difference(y, expected_y), 3e-4);
  const Tensors found = gradients({y}, rounded), expected = gradients({expected_y}, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected[i]), 1e-3) << kNames[i];
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, BiWkvHard,
    testing::Values(HardInputs{"wide_keys", 0.05, 0.1, 60, 0}, HardInputs{"strong_decay", 4, 0.1, 1, 0},
                    HardInputs{"large_bonus", 0.05, 90, 1, 0}, HardInputs{"offset_keys", 0.05, 0.1, 1, 300},
                    HardInputs{"negative_offset", 0.05, 0.1, 1, -300},
                    HardInputs{"just_within_one_exponent", 0.3, 5, 8, 0}, HardInputs{"everything", 3, 60, 40, -500}),
    [](const auto& test) { return test.param.name; });

TEST(BiWkv, a_decay_without_limit_leaves_the_neighbours) {
  Tensors x = make_inputs(op_case("bi_wkv"), {}, at::kFloat, 42, true).arguments;
  x[0] = at::full_like(x[0], std::numeric_limits<float>::infinity()).detach().requires_grad_();
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3]);
  const at::Tensor strong = at::full_like(x[0], 200).detach();
  EXPECT_LE(difference(y, reference::bi_wkv(strong, x[1], x[2], x[3])), 1e-6);
  const Tensors found = gradients({y}, x);
  for (const at::Tensor& g : found) EXPECT_TRUE(g.isfinite().all().item<bool>());
  EXPECT_EQ(found[0].abs().max().item<double>(), 0);
}

TEST(BiWkv, a_key_of_minus_infinity_adds_nothing) {
  const OpInputs inputs = make_inputs(op_case("bi_wkv"), {.time = 5}, at::kDouble, 43);
  const Tensors& x = inputs.arguments;
  x[2].select(1, 3).fill_(-std::numeric_limits<double>::infinity());
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3]);
  EXPECT_LE(difference(y, reference::bi_wkv(x[0], x[1], x[2], x[3])), 1e-12);
}

TEST(BiWkv, reversed_tokens_give_reversed_outputs) {
  const Tensors x = make_inputs(op_case("bi_wkv"), {}, at::kDouble, 44).arguments;
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3]);
  const at::Tensor reversed = ops::bi_wkv(x[0], x[1], x[2].flip(1), x[3].flip(1));
  EXPECT_LE(difference(reversed.flip(1), y), 1e-13);
}

TEST(BiWkv, a_nan_stays_in_its_channel_and_reaches_what_depends_on_it) {
  for (const size_t i : {0, 1, 2, 3}) {
    const Tensors x = make_inputs(op_case("bi_wkv"), {}, at::kFloat, 45).arguments;
    const at::Tensor expected = ops::bi_wkv(x[0], x[1], x[2], x[3]);
    x[i].select(-1, 3).fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3]);
    EXPECT_TRUE(y.select(-1, 3).isnan().all().item<bool>()) << kNames[i];
    EXPECT_LE(difference(y.slice(-1, 4), expected.slice(-1, 4)), 1e-5) << kNames[i];
  }
}

// --- as the published kernels compute it ---

class BiWkvPublished : public testing::TestWithParam<std::tuple<int64_t, int64_t>> {};

TEST_P(BiWkvPublished, has_its_outputs_and_its_gradients) {
  const auto [chunks, time] = GetParam();
  const Tensors x = make_inputs(op_case("bi_wkv"), {.time = time}, at::kDouble, 46, true).arguments;
  const at::Tensor y = ops::bi_wkv(x[0], x[1], x[2], x[3], chunks),
                   expected_y = reference::bi_wkv_published(x[0], x[1], x[2], x[3], chunks);
  EXPECT_LE(difference(y, expected_y), 1e-12);

  at::manual_seed(47);
  const at::Tensor grad_y = at::randn_like(y);
  const Tensors found = torch::autograd::grad({y}, x, {grad_y});
  const Tensors of_parameters = torch::autograd::grad({expected_y}, {x[0], x[1]}, {grad_y});
  const auto [grad_k, grad_v] = reference::bi_wkv_published_gradients(x[0], x[1], x[2], x[3], grad_y, chunks);
  const Tensors expected{of_parameters[0], of_parameters[1], grad_k, grad_v};
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected[i], 1e-3), 1e-11) << kNames[i];
}

INSTANTIATE_TEST_SUITE_P(Chunks, BiWkvPublished,
                         testing::Combine(testing::Values(16, 32), testing::Values(1, 2, 16, 31, 32, 33, 100)),
                         [](const auto& test) {
                           return std::to_string(std::get<0>(test.param)) + "_T" +
                                  std::to_string(std::get<1>(test.param));
                         });

// --- refusals ---

const Refusal kRefusals[] = {
    {"w_shape", [](auto& x, auto&, auto&) { x[0] = x[0].narrow(0, 0, 31); },
     "bi_wkv: w must have shape [C] = [32], got [31]"},
    {"u_shape",
     [](auto& x, auto&, auto&) {
       x[1] = x[1].expand({2, 32});
     },
     "bi_wkv: u must have the 1 dimensions [C], got shape [2, 32]"},
    {"k_two_dimensions", [](auto& x, auto&, auto&) { x[2] = x[2].select(0, 0); },
     "bi_wkv: k must have the 3 dimensions [B, T, C], got shape [17, 32]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(1, 0, 16); },
     "bi_wkv: v must have shape [B, T, C] = [2, 17, 32], got [2, 16, 32]"},
    {"k_integer", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kInt); },
     "bi_wkv: k must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"w_dtype", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kHalf); }, "bi_wkv: w must have dtype Float, got Half"},
    {"u_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kDouble); },
     "bi_wkv: u must have dtype Float, got Double"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kBFloat16); },
     "bi_wkv: v must have dtype Float, got BFloat16"},
    {"w_undefined", [](auto& x, auto&, auto&) { x[0] = at::Tensor(); }, "bi_wkv: w must be a tensor, got None"},
    {"v_meta", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kMeta); }, "bi_wkv: v must be on cpu as k is, got meta"},
    {"u_meta", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kMeta); }, "bi_wkv: u must be on cpu as k is, got meta"},
    {"k_sparse", [](auto& x, auto&, auto&) { x[2] = x[2].to_sparse(); }, "dense (strided)"},
};

class BiWkvRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(BiWkvRefuses, with_a_message_that_names_the_argument) { expect_refused(op_case("bi_wkv"), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Call, BiWkvRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

TEST(BiWkv, other_numbers_of_chunks_are_refused) {
  const Tensors x = make_inputs(op_case("bi_wkv"), {}, at::kFloat, 48).arguments;
  for (const int64_t chunks : {-1, 1, 17, 64}) {
    try {
      ops::bi_wkv(x[0], x[1], x[2], x[3], chunks);
      FAIL() << "accepted";
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("bi_wkv: compat_chunks must be 0, 16 or 32, got"));
    }
  }
}

}  // namespace
}  // namespace wkv::test::bi_wkv_op
