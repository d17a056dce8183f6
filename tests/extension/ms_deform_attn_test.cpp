// ms_deform_attn alone: its golden files, places beside the levels, and what it refuses.
#include "reference/ms_deform_attn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::ms_deform_attn_op {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

// Two levels, 4 x 3 and 2 x 2, with a place of no level between them.
at::Tensor spatial_shapes() { return at::tensor({4, 3, 2, 2}, at::kLong).view({2, 2}); }
at::Tensor level_start_index() { return at::tensor({0, 13}, at::kLong); }
constexpr int64_t kPlaces = 17, kLevels = 2, kPoints = 3;

// OpShape's time counts the queries, its value is the size of a head.
OpCase ms_deform_attn_case() {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const auto shape = [](const OpShape& s) { return std::vector<int64_t>{s.batch, s.time, s.heads, kLevels, kPoints}; };
  return {
      .name = "ms_deform_attn",
      .arguments = {{"value", true, false,
                     [=](const OpShape& s) {
                       return at::randn({s.batch, kPlaces, s.heads, s.value}, options);
                     }},
                    {"sampling_locations", true, true,
                     [=](const OpShape& s) {
                       return at::rand({s.batch, s.time, s.heads, kLevels, kPoints, 2}, options);
                     }},
                    {"attention_weights", true, true, [=](const OpShape& s) { return at::rand(shape(s), options); }}},
      .call =
          [](const Tensors& x, const Tensors&, const at::Tensor&) {
            return Tensors{ops::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1], x[2])};
          },
      .reference =
          [](const Tensors& x, const Tensors&) {
            return Tensors{reference::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1], x[2])};
          },
  };
}
const OpCaseRow kRow(ms_deform_attn_case());

constexpr const char* kNames[] = {"value", "sampling_locations", "attention_weights"};

// --- golden files ---

class MsDeformAttnFixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

TEST_P(MsDeformAttnFixture, output_and_gradients_agree) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("ms_deform_attn/" + name + ".safetensors"));
  const Tolerance tolerance = tolerance_of(dtype);
  Tensors x;
  for (const char* input : kNames) {
    // A place rounded to a half type is another place.
    const at::ScalarType type = input == kNames[1] ? state_dtype(dtype) : dtype;
    x.push_back(fixture.at(std::string("in.") + input).to(type).requires_grad_());
  }
  const at::Tensor y =
      ops::ms_deform_attn(x[0], fixture.at("in.spatial_shapes"), fixture.at("in.level_start_index"), x[1], x[2]);
  EXPECT_LE(difference(y, fixture.at("out.y")), tolerance.output);
  const Tensors found = torch::autograd::grad({y}, x, {fixture.at("in.gy").to(dtype)});
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(difference(found[i], fixture.at(std::string("grad.") + kNames[i])), tolerance.gradient) << kNames[i];
  }
}

INSTANTIATE_TEST_SUITE_P(File, MsDeformAttnFixture,
                         testing::Combine(testing::ValuesIn(fixture_names("ms_deform_attn")),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
                         });

// --- places beside the levels ---

// One head of one value, 1, everywhere on one level of 2 x 2; one query that looks at one place with the weight 3.
struct Look {
  at::Tensor y;
  Tensors gradients;  // of y, by value, sampling_locations, attention_weights
};
Look look_at(double x, double y) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const Tensors arguments = {at::ones({1, 4, 1, 1}, options).requires_grad_(),
                             at::tensor({x, y}, options).view({1, 1, 1, 1, 1, 2}).requires_grad_(),
                             at::full({1, 1, 1, 1, 1}, 3, options).requires_grad_()};
  const at::Tensor out = ops::ms_deform_attn(arguments[0], at::tensor({2, 2}, at::kLong).view({1, 2}),
                                             at::zeros({1}, at::kLong), arguments[1], arguments[2]);
  return {out, torch::autograd::grad({out.sum()}, arguments)};
}

TEST(MsDeformAttn, a_place_outside_is_zero_and_has_no_gradient) {
  for (const double far : {-0.25, 1.25, -7.0, 1e9, -1e30, 3e38, kInf, -kInf}) {
    for (const auto& [x, y] : {std::pair{far, 0.5}, {0.5, far}, {far, far}}) {
      const Look look = look_at(x, y);
      EXPECT_EQ(look.y.item<float>(), 0) << x << ", " << y;
      for (const at::Tensor& g : look.gradients) EXPECT_TRUE(at::equal(g, at::zeros_like(g))) << x << ", " << y;
    }
  }
}

TEST(MsDeformAttn, a_place_half_outside_fades) {
  EXPECT_FLOAT_EQ(look_at(0.5, 0.5).y.item<float>(), 3);
  EXPECT_FLOAT_EQ(look_at(0, 0.5).y.item<float>(), 1.5);
  EXPECT_FLOAT_EQ(look_at(1, 0.5).y.item<float>(), 1.5);
  EXPECT_FLOAT_EQ(look_at(1, 0).y.item<float>(), 0.75);
}

TEST(MsDeformAttn, a_place_that_is_no_number_gives_none) {
  for (const auto& [x, y] : {std::pair{kNan, 0.5}, {0.5, kNan}, {kNan, kInf}}) {
    const Look look = look_at(x, y);
    EXPECT_TRUE(look.y.isnan().all().item<bool>());
    EXPECT_TRUE(at::equal(look.gradients[0], at::zeros_like(look.gradients[0])));
    EXPECT_TRUE(look.gradients[1].isnan().all().item<bool>());
    EXPECT_TRUE(look.gradients[2].isnan().all().item<bool>());
  }
}

TEST(MsDeformAttn, wild_places_agree_with_the_reference) {
  OpInputs inputs = make_inputs(op_case("ms_deform_attn"), {.value = 20}, at::kDouble, 51, false);
  Tensors& x = inputs.arguments;
  x[1] = (x[1] - 0.5) * 3 + 0.5;
  for (at::Tensor& t : x) t.requires_grad_();
  const at::Tensor y = ops::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1], x[2]),
                   expected = reference::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1], x[2]);
  EXPECT_LE(difference(y, expected), 1e-14);
  const Tensors found = gradients({y}, x), expected_gradients = gradients({expected}, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(difference(found[i], expected_gradients[i]), 1e-13) << kNames[i];
}

TEST(MsDeformAttn, a_place_of_no_level_is_not_seen) {
  OpInputs inputs = make_inputs(op_case("ms_deform_attn"), {}, at::kFloat, 52, true);
  Tensors& x = inputs.arguments;
  const at::Tensor y = ops::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1], x[2]);
  const at::Tensor found = gradients({y}, {x[0]})[0].select(1, 12);
  EXPECT_TRUE(at::equal(found, at::zeros_like(found)));
}

TEST(MsDeformAttn, levels_may_be_empty_or_none) {
  const OpInputs inputs = make_inputs(op_case("ms_deform_attn"), {}, at::kFloat, 53);
  const Tensors& x = inputs.arguments;
  const auto is_zero = [](const at::Tensor& y) { return at::equal(y, at::zeros({2, 17, 32})); };
  const int64_t most = std::numeric_limits<int64_t>::max();
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{0, 0}, {0, most}, {most, 0}}) {
    const at::Tensor shapes = at::tensor({height, width, height, width}, at::kLong).view({2, 2});
    EXPECT_TRUE(is_zero(ops::ms_deform_attn(x[0], shapes, level_start_index(), x[1], x[2])));
  }
  EXPECT_TRUE(is_zero(ops::ms_deform_attn(x[0], at::zeros({0, 2}, at::kLong), at::zeros({0}, at::kLong),
                                          x[1].narrow(3, 0, 0), x[2].narrow(3, 0, 0))));
  EXPECT_TRUE(is_zero(
      ops::ms_deform_attn(x[0], spatial_shapes(), level_start_index(), x[1].narrow(4, 0, 0), x[2].narrow(4, 0, 0))));
}

// --- refusals ---

struct MsDeformAttnRefusal {
  const char* name;
  // Of value, spatial_shapes, level_start_index, sampling_locations, attention_weights.
  std::function<void(Tensors& x)> spoil;
  const char* message;
};

class MsDeformAttnRefuses : public testing::TestWithParam<MsDeformAttnRefusal> {};

TEST_P(MsDeformAttnRefuses, with_a_message_that_names_the_argument) {
  const Tensors inputs = make_inputs(op_case("ms_deform_attn"), {}, at::kFloat, 54).arguments;
  Tensors x = {inputs[0], spatial_shapes(), level_start_index(), inputs[1], inputs[2]};
  GetParam().spoil(x);
  try {
    ops::ms_deform_attn(x[0], x[1], x[2], x[3], x[4]);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

constexpr int64_t kHuge = int64_t{1} << 40;
at::Tensor shapes_of(int64_t height, int64_t width) {
  return at::tensor({height, width, int64_t{2}, int64_t{2}}, at::kLong).view({2, 2});
}

const MsDeformAttnRefusal kRefusals[] = {
    {"value_undefined", [](auto& x) { x[0] = at::Tensor(); }, "ms_deform_attn: value must be a tensor, got None"},
    {"value_three_dimensions", [](auto& x) { x[0] = x[0][0]; },
     "ms_deform_attn: value must have the 4 dimensions [B, S, M, D], got shape [17, 2, 16]"},
    {"shapes_one_dimension", [](auto& x) { x[1] = x[1][0]; },
     "ms_deform_attn: spatial_shapes must have the 2 dimensions [L, 2], got shape [2]"},
    {"shapes_of_three",
     [](auto& x) {
       x[1] = at::ones({2, 3}, at::kLong);
     },
     "ms_deform_attn: spatial_shapes must have shape [L, 2] = [2, 2], got [2, 3]"},
    {"starts_too_few", [](auto& x) { x[2] = x[2].narrow(0, 0, 1); },
     "ms_deform_attn: level_start_index must have shape [L] = [2], got [1]"},
    {"locations_five_dimensions", [](auto& x) { x[3] = x[3][0]; },
     "ms_deform_attn: sampling_locations must have the 6 dimensions [B, Q, M, L, P, 2], got shape [17, 2, 2, 3, 2]"},
    {"locations_batch", [](auto& x) { x[3] = x[3].narrow(0, 0, 1); },
     "ms_deform_attn: sampling_locations must have shape [B, Q, M, L, P, 2] = [2, 17, 2, 2, 3, 2], got [1, 17, 2, 2, "
     "3, 2]"},
    {"locations_heads", [](auto& x) { x[3] = x[3].narrow(2, 0, 1); },
     "ms_deform_attn: sampling_locations must have shape [B, Q, M, L, P, 2] = [2, 17, 2, 2, 3, 2]"},
    {"locations_levels", [](auto& x) { x[3] = x[3].narrow(3, 0, 1); },
     "ms_deform_attn: sampling_locations must have shape [B, Q, M, L, P, 2] = [2, 17, 2, 2, 3, 2]"},
    {"locations_of_one", [](auto& x) { x[3] = x[3].narrow(5, 0, 1); },
     "ms_deform_attn: sampling_locations must have shape [B, Q, M, L, P, 2] = [2, 17, 2, 2, 3, 2]"},
    {"weights_queries", [](auto& x) { x[4] = x[4].narrow(1, 0, 16); },
     "ms_deform_attn: attention_weights must have shape [B, Q, M, L, P] = [2, 17, 2, 2, 3], got [2, 16, 2, 2, 3]"},
    {"weights_points", [](auto& x) { x[4] = x[4].narrow(4, 0, 2); },
     "ms_deform_attn: attention_weights must have shape [B, Q, M, L, P] = [2, 17, 2, 2, 3], got [2, 17, 2, 2, 2]"},
    {"value_integer", [](auto& x) { x[0] = x[0].to(at::kInt); },
     "ms_deform_attn: value must have dtype Float or BFloat16 or Half or Double, got Int"},
    {"shapes_int", [](auto& x) { x[1] = x[1].to(at::kInt); },
     "ms_deform_attn: spatial_shapes must have dtype Long, got Int"},
    {"starts_floating", [](auto& x) { x[2] = x[2].to(at::kFloat); },
     "ms_deform_attn: level_start_index must have dtype Long, got Float"},
    {"locations_dtype", [](auto& x) { x[3] = x[3].to(at::kHalf); },
     "ms_deform_attn: sampling_locations must have dtype Float, got Half"},
    {"weights_dtype", [](auto& x) { x[4] = x[4].to(at::kDouble); },
     "ms_deform_attn: attention_weights must have dtype Float, got Double"},
    {"value_meta", [](auto& x) { x[0] = x[0].to(at::kMeta); },
     "ms_deform_attn: sampling_locations must be on meta as value is, got cpu"},
    {"shapes_meta", [](auto& x) { x[1] = x[1].to(at::kMeta); },
     "ms_deform_attn: spatial_shapes must be on cpu as value is, got meta"},
    {"weights_meta", [](auto& x) { x[4] = x[4].to(at::kMeta); },
     "ms_deform_attn: attention_weights must be on cpu as value is, got meta"},
    {"weights_sparse", [](auto& x) { x[4] = x[4].to_sparse(); }, "ms_deform_attn: attention_weights must be a dense"},
    {"height_negative", [](auto& x) { x[1] = shapes_of(-4, -3); },
     "ms_deform_attn: spatial_shapes must not be negative, got -4 x -3 for level 0"},
    {"level_too_large", [](auto& x) { x[1] = shapes_of(6, 3); },
     "ms_deform_attn: spatial_shapes must describe levels within the S = 17 places of value, got 6 x 3 for level 0"},
    {"level_that_overflows", [](auto& x) { x[1] = shapes_of(kHuge, kHuge); },
     "ms_deform_attn: spatial_shapes must describe levels within the S = 17 places of value"},
    {"start_negative",
     [](auto& x) {
       x[2] = at::tensor({-1, 13}, at::kLong);
     },
     "ms_deform_attn: level_start_index must leave space for each level within the S = 17 places of value, got -1 for "
     "level 0 of 4 x 3"},
    {"start_too_late",
     [](auto& x) {
       x[2] = at::tensor({0, 14}, at::kLong);
     },
     "ms_deform_attn: level_start_index must leave space for each level within the S = 17 places of value, got 14 for "
     "level 1 of 2 x 2"},
    {"start_huge",
     [](auto& x) {
       x[2] = at::tensor({int64_t{0}, std::numeric_limits<int64_t>::max()}, at::kLong);
     },
     "ms_deform_attn: level_start_index must leave space"},
};

INSTANTIATE_TEST_SUITE_P(Call, MsDeformAttnRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::ms_deform_attn_op
