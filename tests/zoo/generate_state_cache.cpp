#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <numeric>

#include "wkv/zoo/state_cache.h"

namespace wkv {
namespace {

std::vector<int64_t> count_up(int64_t length, int64_t last = -1) {
  std::vector<int64_t> tokens(static_cast<std::size_t>(length));
  std::iota(tokens.begin(), tokens.end(), 0);
  if (last >= 0) tokens.back() = last;
  return tokens;
}

Context context_of(double value) {
  return {{{{"state", at::full({1, 4}, value, at::kFloat)}}}, at::full({1, 1, 2}, value, at::kFloat)};
}

double value_of(const StateCache::Found& found) { return found.context.state.entries[0].tensor[0][0].item<double>(); }

TEST(StateCache, the_longest_beginning_is_found) {
  StateCache cache(1 << 20);
  cache.put(count_up(50), context_of(1));
  cache.put(count_up(100), context_of(2));
  cache.put(count_up(150), context_of(3));
  const auto found = cache.find(count_up(120));
  EXPECT_EQ(found.length, 100);
  EXPECT_EQ(value_of(found), 2);
}

TEST(StateCache, a_text_that_differs_in_one_token_is_not_found) {
  StateCache cache(1 << 20);
  cache.put(count_up(100, 7), context_of(1));
  EXPECT_EQ(cache.find(count_up(120)).length, 0);
  EXPECT_EQ(cache.shared(count_up(120)), 99);
}

TEST(StateCache, what_saves_little_is_not_kept) {
  StateCache cache(1 << 20);
  cache.put(count_up(StateCache::kWorthKeeping - 1), context_of(1));
  EXPECT_EQ(cache.size(), 0);
  cache.put(count_up(100), context_of(1));
  cache.put(count_up(100 + StateCache::kWorthKeeping - 1), context_of(1));
  EXPECT_EQ(cache.size(), 1);
}

TEST(StateCache, the_bytes_are_bounded_and_what_was_used_last_stays) {
  constexpr int64_t kEach = 100 * 8 + (4 + 2) * 4;
  StateCache cache(2 * kEach);
  cache.put(count_up(100, 1000), context_of(1));
  cache.put(count_up(100, 2000), context_of(2));
  EXPECT_EQ(cache.bytes(), 2 * kEach);
  cache.find(count_up(100, 1000));
  cache.put(count_up(100, 3000), context_of(3));
  EXPECT_EQ(cache.bytes(), 2 * kEach);
  EXPECT_EQ(cache.find(count_up(100, 1000)).length, 100);
  EXPECT_EQ(cache.find(count_up(100, 2000)).length, 0);
}

TEST(StateCache, what_is_larger_than_all_of_it_is_not_kept) {
  StateCache cache(100);
  cache.put(count_up(100), context_of(1));
  EXPECT_EQ(cache.size(), 0);
}

TEST(StateCache, keeps_a_copy) {
  StateCache cache(1 << 20);
  const Context context = context_of(1);
  cache.put(count_up(50), context);
  at::Tensor tensor = context.state.entries[0].tensor;
  tensor.fill_(9);
  EXPECT_EQ(value_of(cache.find(count_up(50))), 1);
}

}  // namespace
}  // namespace wkv
