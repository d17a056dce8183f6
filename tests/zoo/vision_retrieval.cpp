#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/retrieval.h"

namespace wkv::zoo {
namespace {

TEST(Search, equals_sorting_all_cosines) {
  at::manual_seed(2);
  const at::Tensor index = at::randn({9000, 8}), queries = at::randn({1500, 8});  // several blocks of the index
  const Neighbours found = search(index, queries, 7);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, {1}, true); };
  const auto [scores, indices] = at::mm(unit(queries), unit(index).t()).topk(7);
  EXPECT_LT(test::absolute_error(found.scores, scores), 1e-6);
  EXPECT_TRUE(found.indices.equal(indices));
}

TEST(Search, finds_a_row_by_itself_whatever_its_length) {
  at::manual_seed(3);
  const at::Tensor index = at::randn({20, 5});
  const Neighbours found = search(index, index * 1000, 1);
  EXPECT_TRUE(found.indices.squeeze(1).equal(at::arange(20)));
  EXPECT_LT(test::absolute_error(found.scores, at::ones({20, 1})), 1e-6);
}

TEST(Search, gives_no_more_than_there_are) {
  EXPECT_EQ(search(at::ones({3, 4}), at::ones({2, 4}), 10).indices.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(search(at::ones({0, 4}), at::ones({2, 4}), 10).indices.sizes(), (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(search(at::ones({3, 4}), at::ones({0, 4}), 2).indices.sizes(), (std::vector<int64_t>{0, 2}));
}

TEST(Search, refuses_what_does_not_fit) {
  EXPECT_THROW(search(at::ones({3, 4}), at::ones({2, 5}), 1), Error);
  EXPECT_THROW(search(at::ones({3, 4}), at::ones({4}), 1), Error);
  EXPECT_THROW(search(at::ones({3, 4}), at::ones({2, 4}), 0), Error);
  EXPECT_THROW(search(at::ones({3, 4}, at::kLong), at::ones({2, 4}), 1), Error);
}

}  // namespace
}  // namespace wkv::zoo
