// _based_decode_: steps of based_linear_attention on states of the distinct features, in place.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "extension/op_cases.h"
#include "wkv/ops.h"

namespace wkv::test::based_decode_op {
namespace {

// Of the op's features, those that the packed states keep.
at::Tensor distinct(int64_t d) {
  std::vector<int64_t> kept;
  for (int64_t feature = 0; feature <= d; ++feature) kept.push_back(feature);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = i; j < d; ++j) kept.push_back(1 + d + i * d + j);
  return at::tensor(kept, at::kLong);
}

// Tokens, and a pool of more states than rows: those of other tokens that came before.
struct Pooled {
  explicit Pooled(at::ScalarType dtype, const OpShape& shape = {}) : d(shape.key) {
    const Tensors x = make_inputs(op_case("based_linear_attention"), shape, dtype, 71).arguments;
    std::tie(q, k, v) = std::tie(x[0], x[1], x[2]);
    OpShape past = shape;
    past.batch += 3;
    past.time = 9;
    const Tensors before = make_inputs(op_case("based_linear_attention"), past, dtype, 72).arguments;
    std::tie(std::ignore, kv_states, k_states) = ops::based_linear_attention(before[0], before[1], before[2]);
    kv_pool = kv_states.index_select(3, distinct(d)).transpose(2, 3).contiguous();
    k_pool = k_states.index_select(2, distinct(d));
    slots = at::randperm(past.batch, at::kLong).narrow(0, 0, shape.batch);
  }
  at::Tensor step(int64_t t) {
    return ops::based_decode_(q.select(1, t), k.select(1, t), v.select(1, t), kv_pool, k_pool, slots);
  }

  int64_t d;
  at::Tensor q, k, v, slots;       // [B, T, ...]
  at::Tensor kv_states, k_states;  // as the op has them
  at::Tensor kv_pool, k_pool;
};

const std::vector<OpShape> kShapes = {{.time = 5},
                                      {.batch = 3, .time = 2, .heads = 4, .key = 16, .value = 64},
                                      {.time = 3, .key = 16, .value = 112},
                                      {.time = 3, .key = 8, .value = 12},
                                      {.time = 3, .key = 7, .value = 33},
                                      {.time = 3, .heads = 1, .key = 1, .value = 1},
                                      {.batch = 1, .time = 2, .heads = 1, .key = 64, .value = 256},
                                      {.time = 1, .heads = 0},
                                      {.batch = 0, .time = 1}};

class BasedDecode : public testing::TestWithParam<at::ScalarType> {};

TEST_P(BasedDecode, steps_equal_the_sequence) {
  const double tolerance = GetParam() == at::kDouble ? 1e-12 : tolerance_of(GetParam()).output;
  for (const OpShape& shape : kShapes) {
    Pooled p(GetParam(), shape);
    const auto [expected, kv_state, k_state] = ops::based_linear_attention(
        p.q, p.k, p.v, p.kv_states.index_select(0, p.slots), p.k_states.index_select(0, p.slots));
    Tensors y;
    for (int64_t t = 0; t < shape.time; ++t) y.push_back(p.step(t));
    EXPECT_LE(difference(at::stack(y, 1), expected), tolerance) << shape.key << ", " << shape.value;
    const double of_states = GetParam() == at::kDouble ? 1e-12 : 1e-5;
    EXPECT_LE(difference(p.kv_pool.index_select(0, p.slots), kv_state.index_select(3, distinct(p.d)).transpose(2, 3)),
              of_states);
    EXPECT_LE(difference(p.k_pool.index_select(0, p.slots), k_state.index_select(2, distinct(p.d))), of_states);
  }
}

TEST_P(BasedDecode, the_other_slots_keep_every_bit) {
  Pooled p(GetParam());
  const at::Tensor kv_before = p.kv_pool.clone(), k_before = p.k_pool.clone();
  p.step(0);
  for (int64_t slot = 0; slot < p.kv_pool.size(0); ++slot) {
    const bool ours = p.slots.eq(slot).any().item<bool>();
    EXPECT_EQ(at::equal(p.kv_pool[slot], kv_before[slot]), !ours) << slot;
    EXPECT_EQ(at::equal(p.k_pool[slot], k_before[slot]), !ours) << slot;
  }
}

INSTANTIATE_TEST_SUITE_P(Type, BasedDecode, testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf),
                         [](const auto& test) { return std::string(at::toString(test.param)); });

TEST(BasedDecodePool, is_written_alike_by_any_number_of_threads) {
  const int threads_before = at::get_num_threads();
  Tensors results;
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    Pooled p(at::kFloat, {.batch = 9, .time = 1, .heads = 8, .value = 64});
    p.slots = at::arange(9, at::kLong);
    const at::Tensor y = p.step(0);
    results.push_back(at::cat({y.flatten(), p.kv_pool.flatten(), p.k_pool.flatten()}));
  }
  at::set_num_threads(threads_before);
  for (const at::Tensor& result : results) EXPECT_TRUE(at::equal(result, results[0]));
}

TEST(BasedDecodePool, may_be_one_layer_of_a_pool_of_all) {
  Pooled p(at::kFloat);
  const at::Tensor kv_layers = at::stack({p.kv_pool, p.kv_pool}, 1), k_layers = at::stack({p.k_pool, p.k_pool}, 1);
  const at::Tensor expected = p.step(0);
  const at::Tensor kv_expected = p.kv_pool;
  p.kv_pool = kv_layers.select(1, 1);
  p.k_pool = k_layers.select(1, 1);
  EXPECT_TRUE(at::equal(p.step(0), expected));
  EXPECT_TRUE(at::equal(p.kv_pool, kv_expected));
}

struct Refusal {
  const char* name;
  std::function<void(Pooled&)> spoil;
  const char* message;
};

class BasedDecodeRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(BasedDecodeRefuses, with_a_message_and_untouched_pools) {
  Pooled p(at::kFloat);
  const at::Tensor kv_pool = p.kv_pool, k_pool = p.k_pool;
  const at::Tensor kv_before = kv_pool.clone(), k_before = k_pool.clone();
  GetParam().spoil(p);
  try {
    p.step(0);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
  EXPECT_TRUE(at::equal(kv_pool, kv_before));
  EXPECT_TRUE(at::equal(k_pool, k_before));
}

const Refusal kRefusals[] = {
    {"k_shape", [](Pooled& p) { p.k = p.k.narrow(3, 0, 8); }, "_based_decode_: k must have shape [B, H, d]"},
    {"v_dtype", [](Pooled& p) { p.v = p.v.to(at::kDouble); }, "_based_decode_: v must have dtype Float"},
    {"kv_pool_full", [](Pooled& p) { p.kv_pool = p.kv_states.transpose(2, 3).contiguous(); },
     "_based_decode_: kv_pool must have shape [P, H, F, dv]"},
    {"k_pool_of_fewer_states", [](Pooled& p) { p.k_pool = p.k_pool.narrow(0, 0, 4); },
     "_based_decode_: kv_pool and k_pool must have as many states, got 5 and 4"},
    {"kv_pool_transposed", [](Pooled& p) { p.kv_pool = p.kv_pool.transpose(2, 3).contiguous().transpose(2, 3); },
     "_based_decode_: kv_pool must have contiguous states"},
    {"slot_twice", [](Pooled& p) { p.slots = at::zeros({2}, at::kLong); },
     "_based_decode_: slots must be distinct, got 0 twice"},
    {"slot_beyond_the_pool", [](Pooled& p) { p.slots = at::full({2}, 5, at::kLong); },
     "_based_decode_: slots must be 0 to P - 1 = 4, got 5"},
};

INSTANTIATE_TEST_SUITE_P(Call, BasedDecodeRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace wkv::test::based_decode_op
