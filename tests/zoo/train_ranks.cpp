#include <gmock/gmock.h>

#include "train/ranks.h"

namespace wkv::zoo {
namespace {

TEST(RecipeDifference, names_the_key) {
  TrainConfig a, b;
  b.optimizer.beta1 = 0.5;
  EXPECT_EQ(recipe_difference(to_json(a), to_json(b)), "optimizer.beta1");
}

TEST(RecipeDifference, does_not_count_threads) {
  TrainConfig a, b;
  b.threads = 3;
  EXPECT_EQ(recipe_difference(to_json(a), to_json(b)), "");
}

TEST(RankOf, one_process_has_every_row) {
  const Rank rank = rank_of({}, nullptr);
  EXPECT_EQ(rank.index, 0);
  EXPECT_EQ(rank.count, 1);
  EXPECT_FALSE(rank.group);
}

}  // namespace
}  // namespace wkv::zoo
