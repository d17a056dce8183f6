// _mix_neighbours: its rows in the table of ops, every form of shift beside q_shift, and what it refuses.
#include <gtest/gtest.h>

#include "extension/op_cases.h"
#include "reference/q_shift.h"
#include "wkv/vision_ops.h"

namespace wkv::test::mix_neighbours_op {
namespace {

constexpr int64_t kMixes = 3;

struct Shift {
  int64_t height, width;
  double gamma = 0.25;
  int64_t distance = 1, head_size = 0, cls_tokens = 0;
};

// Rows of four patches, and class tokens where T leaves some over; two heads, if the channels can be halved.
Shift shift_of(const at::Tensor& x) {
  return {.height = x.size(1) / 4,
          .width = 4,
          .head_size = x.size(2) % 2 == 0 ? x.size(2) / 2 : 0,
          .cls_tokens = x.size(1) % 4};
}

at::Tensor mixed(const at::Tensor& x, const at::Tensor& mixes, const at::Tensor& changes, const Shift& s) {
  return ops::mix_neighbours(x, mixes, if_defined(changes), s.height, s.width, s.gamma, s.distance, s.head_size,
                             s.cls_tokens);
}

// As the definition says it; changes may be undefined.
at::Tensor reference_mixed(const at::Tensor& x, const at::Tensor& mixes, const at::Tensor& changes, const Shift& s) {
  const at::Tensor neighbours =
      reference::q_shift(x, s.height, s.width, s.gamma, s.distance, s.head_size, s.cls_tokens);
  const at::Tensor mix = mixes.unsqueeze(1).unsqueeze(1);
  return x + (neighbours - x) * (changes.defined() ? mix + changes : mix);
}

// The table's arguments lead with batch and time: mixed and changes are [B, T, M, C] there.
at::Tensor changes_of(const Tensors& x) { return x.size() > 2 ? x[2].permute({2, 0, 1, 3}) : at::Tensor(); }
Tensors by_batch(const at::Tensor& mixed) { return {mixed.permute({1, 2, 0, 3}).contiguous()}; }

OpCase mix_neighbours_case(bool with_changes) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  OpCase op = {
      .name = with_changes ? "_mix_neighbours_with_changes" : "_mix_neighbours",
      .arguments = {{"x", true, false, random_channels(1)},
                    {"mixes", false, true,
                     [=](const OpShape& s) {
                       return at::randn({kMixes, s.heads * s.key}, options);
                     }}},
      .call = [](const Tensors& x, const Tensors&,
                 const at::Tensor&) { return by_batch(mixed(x[0], x[1], changes_of(x), shift_of(x[0]))); },
      .reference = [](const Tensors& x,
                      const Tensors&) { return by_batch(reference_mixed(x[0], x[1], changes_of(x), shift_of(x[0]))); },
  };
  if (with_changes) {
    op.arguments.push_back({"changes", true, false, [=](const OpShape& s) {
                              return at::randn({s.batch, s.time, kMixes, s.heads * s.key}, options);
                            }});
  }
  return op;
}
const OpCaseRow kRow(mix_neighbours_case(false)), kRowWithChanges(mix_neighbours_case(true));

const Shift kShifts[] = {
    {.height = 5, .width = 6, .gamma = 0},
    {.height = 5, .width = 6, .gamma = 0.125},
    {.height = 1, .width = 30, .gamma = 0.5},
    {.height = 5, .width = 6, .distance = 0},
    {.height = 5, .width = 6, .distance = 2},
    {.height = 6, .width = 5, .distance = 5},
    {.height = 1, .width = 30, .distance = 7},
    {.height = 5, .width = 6, .distance = 100},
    {.height = 4, .width = 7, .head_size = 12, .cls_tokens = 2},
    {.height = 0, .width = 3, .cls_tokens = 30},
};

TEST(MixNeighbours, output_and_gradients_are_those_of_q_shift_and_separate_mixes) {
  for (const Shift& shift : kShifts) {
    const auto leaf = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble).set_requires_grad(true); };
    const Tensors inputs = {leaf({2, 30, 36}), leaf({2, 36}), leaf({2, 2, 30, 36})};
    const at::Tensor ours = mixed(inputs[0], inputs[1], inputs[2], shift),
                     expected = reference_mixed(inputs[0], inputs[1], inputs[2], shift);
    EXPECT_LT(difference(ours, expected), 1e-14) << shift.height << " x " << shift.width;
    const Tensors found = gradients({ours}, inputs), wanted = gradients({expected}, inputs);
    for (size_t i = 0; i < inputs.size(); ++i)
      EXPECT_LT(difference(found[i], wanted[i]), 1e-13) << shift.height << " x " << shift.width << ", input " << i;
  }
}

const Refusal kRefusals[] = {
    {"mixes_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(1, 0, 31); },
     "_mix_neighbours: mixes must have shape [M, C] = [3, 32], got [3, 31]"},
    {"no_mix", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(0, 0, 0); },
     "_mix_neighbours: mixes must have 1 to 8 rows, got 0"},
    {"mixes_dtype", [](auto& x, auto&, auto&) { x[1] = x[1].to(at::kHalf); },
     "_mix_neighbours: mixes must have dtype Float, got Half"},
    {"changes_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(1, 0, 16); },
     "_mix_neighbours: changes must have shape [M, B, T, C] = [3, 2, 17, 32], got [3, 2, 16, 32]"},
    {"changes_dtype", [](auto& x, auto&, auto&) { x[2] = x[2].to(at::kBFloat16); },
     "_mix_neighbours: changes must have dtype Float, got BFloat16"},
    {"x_dtype", [](auto& x, auto&, auto&) { x[0] = x[0].to(at::kInt); },
     "_mix_neighbours: x must have dtype Float or BFloat16 or Half or Double, got Int"},
};

class MixNeighboursRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(MixNeighboursRefuses, with_a_message_that_names_the_argument) {
  expect_refused(op_case("_mix_neighbours_with_changes"), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Call, MixNeighboursRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

TEST(MixNeighbours, a_grid_that_does_not_fit_is_refused) {
  const at::Tensor x = at::zeros({2, 13, 8}), mixes = at::zeros({1, 8});
  EXPECT_THROW(ops::mix_neighbours(x, mixes, std::nullopt, 3, 4), std::runtime_error);
}

}  // namespace
}  // namespace wkv::test::mix_neighbours_op
