#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "train/sharding.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;

TEST(OwnRanges, of_one_rank_are_everything) {
  EXPECT_THAT(own_ranges({3, 5}, 0, 1), ElementsAre(ElementRange{0, 3}, ElementRange{0, 5}));
}

TEST(OwnRanges, cut_a_tensor_where_the_half_is) {
  EXPECT_THAT(own_ranges({2, 6}, 0, 2), ElementsAre(ElementRange{0, 2}, ElementRange{0, 2}));
  EXPECT_THAT(own_ranges({2, 6}, 1, 2), ElementsAre(ElementRange{2, 2}, ElementRange{2, 6}));
}

TEST(OwnRanges, of_all_ranks_meet_and_differ_by_one_element_at_most) {
  const std::vector<int64_t> sizes{7, 1, 0, 30, 5};
  std::vector<int64_t> covered(sizes.size(), 0), lengths;
  for (int64_t rank = 0; rank < 4; ++rank) {
    int64_t length = 0;
    const auto ranges = own_ranges(sizes, rank, 4);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (ranges[i].begin == ranges[i].end) continue;
      EXPECT_EQ(ranges[i].begin, covered[i]);
      covered[i] = ranges[i].end;
      length += ranges[i].end - ranges[i].begin;
    }
    lengths.push_back(length);
  }
  EXPECT_EQ(covered, sizes);
  EXPECT_THAT(lengths, testing::Each(testing::AllOf(testing::Ge(10), testing::Le(11))));
}

TEST(OwnRanges, of_more_ranks_than_elements_are_partly_empty) {
  EXPECT_THAT(own_ranges({1}, 0, 2), ElementsAre(ElementRange{0, 0}));
  EXPECT_THAT(own_ranges({1}, 1, 2), ElementsAre(ElementRange{0, 1}));
}

}  // namespace
}  // namespace wkv::zoo
