// wkv7_decode_: steps of wkv7 on a pool of states, in place.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::wkv7_decode_op {
namespace {

// Tokens of the batch and a pool of more states than rows.
struct Pooled {
  explicit Pooled(at::ScalarType dtype, const OpShape& shape = {.time = 1})
      : x(make_inputs(op_case("wkv7"), shape, dtype, 61).arguments) {
    OpShape states = shape;
    states.batch += 3;
    pool = make_inputs(op_case("wkv7"), states, dtype, 62).states[0];
    slots = at::randperm(states.batch, at::kLong).narrow(0, 0, shape.batch);
  }
  Tensors token(int64_t t) const {
    Tensors rows;
    for (const at::Tensor& sequence : x) rows.push_back(sequence.select(1, t));
    return rows;
  }
  Tensors x;  // of the functional op, [B, T, ...]
  at::Tensor pool, slots;
};

at::Tensor decode(const Tensors& x, at::Tensor pool, const at::Tensor& slots) {
  return ops::wkv7_decode_(x[0], x[1], x[2], x[3], x[4], x[5], pool, slots);
}
std::tuple<at::Tensor, at::Tensor> functional(const Tensors& x, const at::Tensor& state) {
  return ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], state);
}

const std::vector<OpShape> kShapes = {{.time = 1},
                                      {.batch = 1, .time = 1, .heads = 12, .key = 64, .value = 64},
                                      {.time = 1, .key = 7, .value = 33},
                                      {.time = 1, .heads = 1, .key = 20, .value = 1},
                                      {.time = 1, .heads = 1, .key = 256, .value = 256},
                                      {.time = 1, .heads = 0},
                                      {.batch = 0, .time = 1}};

class Wkv7Decode : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Wkv7Decode, a_step_gives_the_bits_of_the_functional_op) {
  for (const OpShape& shape : kShapes) {
    const Pooled p(GetParam(), shape);
    const auto [expected, state] = functional(p.x, p.pool.index_select(0, p.slots));
    const at::Tensor y = decode(p.token(0), p.pool, p.slots);
    EXPECT_TRUE(at::equal(y, expected.select(1, 0)));
    EXPECT_TRUE(at::equal(p.pool.index_select(0, p.slots), state));
  }
}

TEST_P(Wkv7Decode, steps_equal_the_sequence) {
  const Pooled p(GetParam(), {.time = 17, .key = 20, .value = 24});
  const auto [expected, state] = functional(p.x, p.pool.index_select(0, p.slots));
  Tensors y;
  for (int64_t t = 0; t < 17; ++t) y.push_back(decode(p.token(t), p.pool, p.slots));
  EXPECT_LE(difference(at::stack(y, 1), expected), GetParam() == at::kDouble ? 1e-12 : tolerance_of(GetParam()).output);
  EXPECT_LE(difference(p.pool.index_select(0, p.slots), state), GetParam() == at::kDouble ? 1e-12 : 1e-5);
}

TEST_P(Wkv7Decode, the_other_slots_keep_every_bit) {
  const Pooled p(GetParam());
  const at::Tensor before = p.pool.clone();
  decode(p.token(0), p.pool, p.slots);
  for (int64_t slot = 0; slot < p.pool.size(0); ++slot) {
    const bool ours = p.slots.eq(slot).any().item<bool>();
    EXPECT_EQ(at::equal(p.pool[slot], before[slot]), !ours) << slot;
  }
}

INSTANTIATE_TEST_SUITE_P(Type, Wkv7Decode, testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf),
                         [](const auto& test) { return std::string(at::toString(test.param)); });

TEST(Wkv7DecodePool, may_be_one_layer_of_a_pool_of_all) {
  const Pooled p(at::kFloat);
  const at::Tensor expected_pool = p.pool.clone();
  const at::Tensor expected = decode(p.token(0), expected_pool, p.slots);
  const at::Tensor layers = at::stack({p.pool, p.pool, p.pool}, 1);  // [P, 3, H, M, N]
  EXPECT_TRUE(at::equal(decode(p.token(0), layers.select(1, 1), p.slots), expected));
  EXPECT_TRUE(at::equal(layers, at::stack({p.pool, expected_pool, p.pool}, 1)));
}

TEST(Wkv7DecodePool, is_written_alike_by_any_number_of_threads) {
  const int threads_before = at::get_num_threads();
  Tensors results;
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    const Pooled p(at::kFloat, {.batch = 9, .time = 1, .heads = 8, .key = 64, .value = 64});
    const at::Tensor y = decode(p.token(0), p.pool, p.slots);
    results.push_back(at::cat({y.flatten(), p.pool.flatten()}));
  }
  at::set_num_threads(threads_before);
  for (const at::Tensor& result : results) EXPECT_TRUE(at::equal(result, results[0]));
}

TEST(Wkv7DecodeInputs, may_be_strided) {
  const Pooled p(at::kFloat);
  const at::Tensor other_pool = p.pool.clone();
  Tensors strided;
  for (const at::Tensor& x : p.token(0)) strided.push_back(x.transpose(0, -1).contiguous().transpose(0, -1));
  const at::Tensor slots = at::stack({p.slots, p.slots}, 1).select(1, 0);
  EXPECT_TRUE(at::equal(decode(strided, other_pool, slots), decode(p.token(0), p.pool, p.slots)));
  EXPECT_TRUE(at::equal(other_pool, p.pool));
}

TEST(Wkv7DecodeInputs, have_no_gradient) {
  const Pooled p(at::kFloat);
  Tensors x = p.token(0);
  x[3].requires_grad_();
  const at::Tensor y = decode(x, p.pool, p.slots);
  try {
    gradients({y}, {x[3]});
    FAIL() << "a gradient came back";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("derivative for wkv7_decode_ is not implemented"));
  }
}

TEST(Wkv7DecodePool, is_known_to_have_changed) {
  const Pooled p(at::kFloat);
  const at::Tensor scale = at::ones({1}).requires_grad_(), scaled = p.pool * scale;  // whose backward needs the pool
  decode(p.token(0), p.pool, p.slots);
  EXPECT_ANY_THROW(gradients({scaled}, {scale}));
}

// --- refusals ---

struct DecodeRefusal {
  const char* name;
  std::function<void(Tensors& x, at::Tensor& pool, at::Tensor& slots)> spoil;
  const char* message;
};

class Wkv7DecodeRefuses : public testing::TestWithParam<DecodeRefusal> {};

TEST_P(Wkv7DecodeRefuses, with_a_message_and_an_untouched_pool) {
  const Pooled p(at::kFloat);
  const at::Tensor before = p.pool.clone();
  Tensors x = p.token(0);
  at::Tensor pool = p.pool, slots = p.slots;
  GetParam().spoil(x, pool, slots);
  try {
    decode(x, pool, slots);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
  EXPECT_TRUE(at::equal(p.pool, before));
}

const DecodeRefusal kRefusals[] = {
    {"r_undefined", [](auto& x, auto&, auto&) { x[0] = at::Tensor(); }, "wkv7_decode_: r must be a tensor, got None"},
    {"r_with_time", [](auto& x, auto&, auto&) { x[0] = x[0].unsqueeze(1); },
     "wkv7_decode_: r must have the 3 dimensions [B, H, N], got shape [2, 1, 2, 16]"},
    {"w_shape", [](auto& x, auto&, auto&) { x[1] = x[1].narrow(2, 0, 8); },
     "wkv7_decode_: w must have shape [B, H, N] = [2, 2, 16], got [2, 2, 8]"},
    {"k_shape", [](auto& x, auto&, auto&) { x[2] = x[2].narrow(0, 0, 1); },
     "wkv7_decode_: k must have shape [B, H, N] = [2, 2, 16], got [1, 2, 16]"},
    {"v_shape", [](auto& x, auto&, auto&) { x[3] = x[3].narrow(1, 0, 1); },
     "wkv7_decode_: v must have shape [B, H, M] = [2, 2, 16], got [2, 1, 16]"},
    {"a_shape", [](auto& x, auto&, auto&) { x[4] = x[4].narrow(2, 0, 15); },
     "wkv7_decode_: a must have shape [B, H, N] = [2, 2, 16], got [2, 2, 15]"},
    {"b_sparse", [](auto& x, auto&, auto&) { x[5] = x[5].to_sparse(); }, "wkv7_decode_: b must be a dense (strided)"},
    {"head_too_large",
     [](auto& x, auto&, auto&) {
       x[3] = at::zeros({2, 2, 257});
     },
     "wkv7_decode_: the head sizes N of r and M of v must be 1 to 256, got 257"},
    {"v_dtype", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kDouble); },
     "wkv7_decode_: v must have dtype Float, got Double"},
    {"v_meta", [](auto& x, auto&, auto&) { x[3] = x[3].to(at::kMeta); },
     "wkv7_decode_: v must be on cpu as r is, got meta"},
    {"pool_three_dimensions", [](auto&, auto& pool, auto&) { pool = pool[0]; },
     "wkv7_decode_: pool must have the 4 dimensions [P, H, M, N], got shape [2, 16, 16]"},
    {"pool_heads", [](auto&, auto& pool, auto&) { pool = pool.narrow(1, 0, 1); },
     "wkv7_decode_: pool must have shape [P, H, M, N] = [5, 2, 16, 16], got [5, 1, 16, 16]"},
    {"pool_dtype", [](auto&, auto& pool, auto&) { pool = pool.to(at::kDouble); },
     "wkv7_decode_: pool must have dtype Float, got Double"},
    {"pool_meta", [](auto&, auto& pool, auto&) { pool = pool.to(at::kMeta); },
     "wkv7_decode_: pool must be on cpu as r is, got meta"},
    {"pool_transposed", [](auto&, auto& pool, auto&) { pool = pool.transpose(2, 3); },
     "wkv7_decode_: pool must have contiguous states apart from each other, got strides [512, 256, 1, 16]"},
    {"pool_expanded",
     [](auto&, auto& pool, auto&) {
       pool = pool.narrow(0, 0, 1).expand({5, 2, 16, 16});
     },
     "wkv7_decode_: pool must have contiguous states apart from each other, got strides [0, 256, 16, 1]"},
    {"slots_two_dimensions", [](auto&, auto&, auto& slots) { slots = slots.unsqueeze(0); },
     "wkv7_decode_: slots must have the 1 dimensions [B], got shape [1, 2]"},
    {"slots_too_many", [](auto&, auto&, auto& slots) { slots = at::arange(3, at::kLong); },
     "wkv7_decode_: slots must have shape [B] = [2], got [3]"},
    {"slots_int", [](auto&, auto&, auto& slots) { slots = slots.to(at::kInt); },
     "wkv7_decode_: slots must have dtype Long, got Int"},
    {"slots_meta", [](auto&, auto&, auto& slots) { slots = slots.to(at::kMeta); },
     "wkv7_decode_: slots must be on cpu as pool is, got meta"},
    {"slot_negative",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({0, -1}, at::kLong);
     },
     "wkv7_decode_: slots must be 0 to P - 1 = 4, got -1 at entry 1"},
    {"slot_beyond_the_pool",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({5, 0}, at::kLong);
     },
     "wkv7_decode_: slots must be 0 to P - 1 = 4, got 5 at entry 0"},
    {"slot_twice",
     [](auto&, auto&, auto& slots) {
       slots = at::tensor({3, 3}, at::kLong);
     },
     "wkv7_decode_: slots must be distinct, got 3 twice"},
};

INSTANTIATE_TEST_SUITE_P(Call, Wkv7DecodeRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::wkv7_decode_op
