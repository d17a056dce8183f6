// wkv6_decode_ and wkv5_decode_: a step in place is the op's step, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::wkv6_decode_op {
namespace {

using DecodeOp = decltype(&ops::wkv6_decode_);

class Wkv6DecodeStep : public testing::TestWithParam<std::tuple<std::string, DecodeOp>> {
 protected:
  const std::string& sequence_op() const { return std::get<0>(GetParam()); }
  at::Tensor decode(const Tensors& x, at::Tensor& pool, const at::Tensor& slots) const {
    return std::get<1>(GetParam())(x[0], x[1], x[2], x[3], x[4], pool, slots);
  }
  // The arguments of one token.
  Tensors step(const Tensors& arguments) const {
    Tensors x = arguments;
    for (at::Tensor& t : x) {
      if (t.dim() == 4) t = t.select(1, 0);
    }
    return x;
  }
  OpInputs inputs(const OpShape& shape, at::ScalarType dtype) const {
    return make_inputs(op_case(sequence_op()), shape, dtype, 41);
  }
};

const OpShape kShapes[] = {{.batch = 3, .time = 1, .key = 64, .value = 64},
                           {.batch = 3, .time = 1, .key = 20, .value = 33},
                           {.batch = 3, .time = 1, .heads = 1, .key = 1, .value = 1},
                           {.batch = 3, .time = 1, .heads = 5, .key = 256, .value = 256},
                           {.batch = 3, .time = 1, .heads = 0}};

TEST_P(Wkv6DecodeStep, is_the_step_of_the_op_in_place) {
  for (const OpShape& shape : kShapes) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
      const OpInputs in = inputs(shape, dtype);
      const Tensors expected = op_case(sequence_op()).call(in.arguments, in.states, {});
      at::Tensor pool = at::full({5, shape.heads, shape.value, shape.key}, 7, in.states[0].options());
      const at::Tensor slots = at::tensor({4, 0, 2}, at::kLong);
      pool.index_copy_(0, slots, in.states[0]);
      const at::Tensor y = decode(step(in.arguments), pool, slots);
      const double tolerance = dtype == at::kDouble ? 1e-14 : dtype == at::kFloat ? 1e-6 : 1e-2;
      EXPECT_EQ(y.scalar_type(), dtype);
      EXPECT_LE(difference(y, expected[0].select(1, 0)), tolerance);
      EXPECT_LE(difference(pool.index_select(0, slots), expected[1]), dtype == at::kDouble ? 1e-15 : 1e-6);
      const at::Tensor others = pool.index_select(0, at::tensor({1, 3}, at::kLong));
      EXPECT_TRUE(at::equal(others, at::full_like(others, 7)));
    }
  }
}

TEST_P(Wkv6DecodeStep, takes_one_layer_of_a_pool_of_layers) {
  const OpInputs in = inputs({.batch = 2, .time = 1}, at::kFloat);
  at::Tensor layers = at::randn({4, 3, 2, 16, 16}), pool = layers.select(1, 1).clone();
  const at::Tensor before = layers.clone(), slots = at::tensor({3, 1}, at::kLong);
  at::Tensor layer = layers.select(1, 1);
  EXPECT_TRUE(at::equal(decode(step(in.arguments), layer, slots), decode(step(in.arguments), pool, slots)));
  EXPECT_TRUE(at::equal(layer, pool));
  EXPECT_TRUE(at::equal(layers.select(1, 0), before.select(1, 0)));
  EXPECT_TRUE(at::equal(layers.select(1, 2), before.select(1, 2)));
}

TEST_P(Wkv6DecodeStep, of_an_empty_batch_does_nothing) {
  const OpInputs in = inputs({.batch = 0, .time = 1}, at::kFloat);
  at::Tensor pool = at::ones({2, 2, 16, 16});
  EXPECT_EQ(decode(step(in.arguments), pool, at::empty({0}, at::kLong)).numel(), 0);
  EXPECT_TRUE(at::equal(pool, at::ones_like(pool)));
}

struct DecodeRefusal {
  const char* name;
  std::function<void(Tensors& x, at::Tensor& pool, at::Tensor& slots)> spoil;
  const char* message;
};

const DecodeRefusal kRefusals[] = {
    {"slot_twice",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({3, 3}, at::kLong);
     },
     "_decode_: slots must be distinct, got 3 twice"},
    {"slot_beyond",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({0, 4}, at::kLong);
     },
     "_decode_: slots must be 0 to P - 1 = 3, got 4 at entry 1"},
    {"slot_negative",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({-1, 0}, at::kLong);
     },
     "_decode_: slots must be 0 to P - 1 = 3, got -1 at entry 0"},
    {"slots_count", [](auto&, auto&, auto& slots) { slots = at::tensor({0}, at::kLong); },
     "_decode_: slots must have shape [B] = [2], got [1]"},
    {"slots_dtype", [](auto&, auto&, auto& slots) { slots = slots.to(at::kInt); },
     "_decode_: slots must have dtype Long, got Int"},
    {"pool_shape", [](auto&, auto& pool, auto&) { pool = pool.narrow(2, 0, 8); },
     "_decode_: pool must have shape [P, H, M, N] = [4, 2, 16, 16], got [4, 2, 8, 16]"},
    {"pool_dtype", [](auto&, auto& pool, auto&) { pool = pool.to(at::kHalf); },
     "_decode_: pool must have dtype Float, got Half"},
    {"pool_strides", [](auto&, auto& pool, auto&) { pool = pool.transpose(2, 3); },
     "_decode_: pool must have contiguous states apart from each other"},
    {"r_with_time", [](auto& x, auto&, auto&) { x[0] = x[0].unsqueeze(1); },
     "_decode_: r must have the 3 dimensions [B, H, N], got shape [2, 1, 2, 16]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(2, 0, 8); },
     "_decode_: k must have shape [B, H, N] = [2, 2, 16], got [2, 2, 8]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(0, 0, 1); },
     "_decode_: v must have shape [B, H, M] = [2, 2, 16], got [1, 2, 16]"},
    {"w_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kHalf); },
     "_decode_: w must have dtype Float, got Half"},
    {"u_shape", [](auto& x, auto&, auto&) { x[4] = x[4].narrow(1, 0, 8); },
     "_decode_: u must have shape [H, N] = [2, 16], got [2, 8]"},
};

TEST_P(Wkv6DecodeStep, is_refused_before_anything_is_written) {
  for (const DecodeRefusal& refusal : kRefusals) {
    SCOPED_TRACE(refusal.name);
    Tensors x = step(inputs({.batch = 2, .time = 1}, at::kFloat).arguments);
    at::Tensor whole = at::ones({4, 2, 16, 16}), pool = whole, slots = at::tensor({0, 3}, at::kLong);
    refusal.spoil(x, pool, slots);
    try {
      decode(x, pool, slots);
      FAIL() << "accepted";
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(sequence_op() + refusal.message));
    }
    EXPECT_TRUE(at::equal(whole, at::ones_like(whole)));
  }
}

INSTANTIATE_TEST_SUITE_P(Op, Wkv6DecodeStep,
                         testing::Values(std::make_tuple("wkv5", &ops::wkv5_decode_),
                                         std::make_tuple("wkv6", &ops::wkv6_decode_)),
                         [](const auto& test) { return std::get<0>(test.param); });

}  // namespace
}  // namespace wkv::test::wkv6_decode_op
