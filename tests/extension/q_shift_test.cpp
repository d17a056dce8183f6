// q_shift alone: its golden files, bit for bit, and what it refuses.
#include "reference/q_shift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "extension/fixture.h"
#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::q_shift_op {
namespace {

// A grid of rows of four, and class tokens where T leaves some over.
struct Grid {
  explicit Grid(const at::Tensor& x) : height(x.size(1) / 4), cls_tokens(x.size(1) % 4) {}
  int64_t height, width = 4, cls_tokens;
};

OpCase q_shift_case() {
  return {
      .name = "q_shift",
      .arguments = {{"x", true, false, random_channels(1)}},
      .call =
          [](const Tensors& x, const Tensors&, const at::Tensor&) {
            const Grid grid(x[0]);
            return Tensors{ops::q_shift(x[0], grid.height, grid.width, 0.25, 1, 0, grid.cls_tokens)};
          },
      .reference =
          [](const Tensors& x, const Tensors&) {
            const Grid grid(x[0]);
            return Tensors{reference::q_shift(x[0], grid.height, grid.width, 0.25, 1, 0, grid.cls_tokens)};
          },
      .nan_fills_output = false,  // zeros come in from outside of the grid
  };
}
const OpCaseRow kRow(q_shift_case());

// --- golden files ---

class QShiftFixture : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {};

TEST_P(QShiftFixture, output_and_gradient_are_the_same_bits) {
  const auto& [name, dtype] = GetParam();
  const Fixture fixture = load_fixture(golden("q_shift/" + name + ".safetensors"));
  const auto about = nlohmann::json::parse(std::ifstream(data("q_shift") / (name + ".json")));
  const at::Tensor x = fixture.at("in.x").to(dtype).requires_grad_();
  const at::Tensor y = ops::q_shift(x, about["H"], about["W"], about.value("gamma", 0.25), about["shift_pixel"],
                                    about.value("head_dim", 0), about.value("with_cls_token", false) ? 1 : 0);
  EXPECT_TRUE(at::equal(y, fixture.at("out.y").to(dtype)));
  const at::Tensor found = torch::autograd::grad({y}, {x}, {fixture.at("in.gy").to(dtype)})[0];
  EXPECT_TRUE(at::equal(found, fixture.at("grad.x").to(dtype)));
}

INSTANTIATE_TEST_SUITE_P(File, QShiftFixture,
                         testing::Combine(testing::ValuesIn(fixture_names("q_shift")),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + at::toString(std::get<1>(test.param));
                         });

TEST(QShift, of_a_row_in_halves_is_the_published_shift_of_texts) {
  const Fixture fixture = load_fixture(golden("rwkv_clip_ops/shifts.safetensors"));
  for (const auto& [name, head_size, shift] : {std::tuple("b0", 8, 1), {"b1", 16, 1}, {"b3", 12, 2}}) {
    const auto tensor = [&](const char* part) { return fixture.at(std::string(name) + part); };
    const at::Tensor x = tensor(".in.x").requires_grad_(), y = ops::q_shift(x, 1, x.size(1), 0.5, shift, head_size);
    EXPECT_TRUE(at::equal(y, tensor(".out.y"))) << name;
    EXPECT_TRUE(at::equal(torch::autograd::grad({y}, {x}, {tensor(".in.gy")})[0], tensor(".grad.x"))) << name;
  }
}

// --- the options ---

at::Tensor random_image(int64_t tokens, int64_t channels) {
  at::manual_seed(41);
  return at::randn({2, tokens, channels}, at::kDouble);
}

TEST(QShift, a_smaller_gamma_leaves_channels_where_they_are) {
  const at::Tensor x = random_image(30, 17);
  for (const double gamma : {0.0, 0.06, 0.1, 0.2, 0.25}) {
    EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, gamma), reference::q_shift(x, 5, 6, gamma))) << gamma;
  }
  EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, 0), x));
}

TEST(QShift, a_larger_gamma_leaves_less_for_the_last_groups) {
  const at::Tensor x = random_image(30, 16);
  for (const double gamma : {0.3, 0.4, 0.5})
    EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, gamma, 1, 8), reference::q_shift(x, 5, 6, gamma, 1, 8))) << gamma;
}

TEST(QShift, heads_have_groups_of_their_own) {
  const at::Tensor x = random_image(31, 30);
  for (const int64_t head_size : {1, 2, 3, 5, 10, 30}) {
    EXPECT_TRUE(
        at::equal(ops::q_shift(x, 5, 6, 0.25, 1, head_size, 1), reference::q_shift(x, 5, 6, 0.25, 1, head_size, 1)))
        << head_size;
  }
}

TEST(QShift, a_distance_beyond_the_grid_leaves_zeros) {
  const at::Tensor x = random_image(31, 8), zeros = at::zeros({2, 30, 8}, at::kDouble);
  for (const int64_t shift : {6, 7, 1000}) {
    EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, 0.25, shift, 0, 1), at::cat({zeros, x.narrow(1, 30, 1)}, 1))) << shift;
  }
  const int64_t farthest = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, 0.25, farthest, 0, 1), ops::q_shift(x, 5, 6, 0.25, 6, 0, 1)));
}

TEST(QShift, a_distance_of_zero_changes_nothing) {
  const at::Tensor x = random_image(30, 8);
  EXPECT_TRUE(at::equal(ops::q_shift(x, 5, 6, 0.25, 0), x));
}

TEST(QShift, a_distance_may_be_longer_than_one_side) {
  const at::Tensor x = random_image(6, 8);
  for (const auto& [height, width] : {std::pair{1, 6}, {6, 1}, {2, 3}, {3, 2}}) {
    for (const int64_t shift : {1, 2, 3, 5}) {
      EXPECT_TRUE(
          at::equal(ops::q_shift(x, height, width, 0.25, shift), reference::q_shift(x, height, width, 0.25, shift)))
          << height << " x " << width << ", " << shift;
    }
  }
}

// --- refusals ---

struct QShiftRefusal {
  const char* name;
  at::Tensor x;
  int64_t height, width;
  double gamma;
  int64_t shift, head_size, cls_tokens;
  const char* message;
};

class QShiftRefuses : public testing::TestWithParam<QShiftRefusal> {};

TEST_P(QShiftRefuses, with_a_message_that_names_the_argument) {
  const QShiftRefusal& c = GetParam();
  try {
    ops::q_shift(c.x, c.height, c.width, c.gamma, c.shift, c.head_size, c.cls_tokens);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(c.message));
  }
}

const at::Tensor kImage = at::zeros({2, 13, 8});
constexpr int64_t kHuge = int64_t{1} << 40;

INSTANTIATE_TEST_SUITE_P(
    Call, QShiftRefuses,
    testing::Values(
        QShiftRefusal{"x_undefined", {}, 3, 4, 0.25, 1, 0, 1, "q_shift: x must be a tensor, got None"},
        QShiftRefusal{"x_two_dimensions", kImage[0], 3, 4, 0.25, 1, 0, 1,
                      "q_shift: x must have the 3 dimensions [B, T, C], got shape [13, 8]"},
        QShiftRefusal{"x_integer", kImage.to(at::kInt), 3, 4, 0.25, 1, 0, 1,
                      "q_shift: x must have dtype Float or BFloat16 or Half or Double, got Int"},
        QShiftRefusal{"x_sparse", kImage.to_sparse(), 3, 4, 0.25, 1, 0, 1, "q_shift: x must be a dense"},
        QShiftRefusal{"grid_too_small", kImage, 3, 4, 0.25, 1, 0, 0,
                      "q_shift: height * width + cls_tokens must be the T of x, got 3 * 4 + 0 for x of shape "
                      "[2, 13, 8]"},
        QShiftRefusal{"grid_that_overflows", kImage, kHuge, kHuge, 0.25, 1, 0, 13,
                      "q_shift: height * width + cls_tokens must be the T of x"},
        QShiftRefusal{"height_negative", kImage, -3, -4, 0.25, 1, 0, 1, "q_shift: height must not be negative, got -3"},
        QShiftRefusal{"width_negative", kImage, 0, -4, 0.25, 1, 0, 13, "q_shift: width must not be negative, got -4"},
        QShiftRefusal{"cls_negative", kImage, 7, 2, 0.25, 1, 0, -1, "q_shift: cls_tokens must not be negative, got -1"},
        QShiftRefusal{"shift_negative", kImage, 3, 4, 0.25, -1, 0, 1, "q_shift: shift must not be negative, got -1"},
        QShiftRefusal{"head_negative", kImage, 3, 4, 0.25, 1, -8, 1, "q_shift: head_size must not be negative, got -8"},
        QShiftRefusal{"head_that_does_not_divide", kImage, 3, 4, 0.25, 1, 3, 1,
                      "q_shift: head_size must divide the C of x, got 3 for x of shape [2, 13, 8]"},
        QShiftRefusal{"gamma_too_large", kImage, 3, 4, 0.51, 1, 0, 1, "q_shift: gamma must be 0 to 0.5, got 0.51"},
        QShiftRefusal{"gamma_negative", kImage, 3, 4, -0.1, 1, 0, 1, "q_shift: gamma must be 0 to 0.5, got -0.1"},
        QShiftRefusal{"gamma_nan", kImage, 3, 4, NAN, 1, 0, 1, "q_shift: gamma must be 0 to 0.5, got nan"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::q_shift_op
