// Sequences within their tokens, whatever the bounds on the device are.
#include "core/cuda/sequences.cuh"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace {

using wkv::cuda::Sequences;

template <class Index>
std::vector<std::pair<int64_t, int64_t>> spans(const std::vector<Index>& bounds, int64_t tokens) {
  const auto count = static_cast<int64_t>(bounds.size()) - 1;
  const Sequences sequences{bounds.data(), sizeof(Index) == 8, count, tokens, tokens};
  std::vector<std::pair<int64_t, int64_t>> found;
  for (int64_t row = 0; row < count; ++row) found.emplace_back(sequences[row].first_token, sequences[row].length);
  return found;
}

using Spans = std::vector<std::pair<int64_t, int64_t>>;

TEST(Sequences, rows_of_equal_length) {
  const Sequences sequences{nullptr, false, 3, 5, 15};
  EXPECT_EQ(sequences[2].first_token, 10);
  EXPECT_EQ(sequences[2].length, 5);
}

TEST(Sequences, packed_by_either_type_of_index) {
  const Spans expected = {{0, 3}, {3, 0}, {3, 4}};
  EXPECT_EQ(spans<int64_t>({0, 3, 3, 7}, 7), expected);
  EXPECT_EQ(spans<int32_t>({0, 3, 3, 7}, 7), expected);
}

TEST(Sequences, wrong_bounds_stay_within_the_tokens) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(spans<int64_t>({-5, 3, kHuge, 7}, 7), (Spans{{0, 3}, {3, 4}, {7, 0}}));
  EXPECT_EQ(spans<int64_t>({6, 2, -kHuge}, 7), (Spans{{6, 0}, {2, 0}}));
}

}  // namespace
