#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "train/gradient_buckets.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;

at::Tensor floats_of(int64_t bytes, at::ScalarType dtype = at::kFloat) {
  return at::zeros({bytes / static_cast<int64_t>(at::elementSize(dtype))}, dtype);
}

TEST(GradientBuckets, fill_from_the_last_parameter_to_the_first) {
  EXPECT_THAT(plan_buckets({floats_of(40), floats_of(40), floats_of(40)}, 80),
              ElementsAre(ElementsAre(2, 1), ElementsAre(0)));
}

TEST(GradientBuckets, a_parameter_larger_than_a_bucket_is_not_divided) {
  EXPECT_THAT(plan_buckets({floats_of(8), floats_of(400), floats_of(8)}, 80),
              ElementsAre(ElementsAre(2, 1), ElementsAre(0)));
}

TEST(GradientBuckets, hold_one_dtype) {
  EXPECT_THAT(plan_buckets({floats_of(8), floats_of(8, at::kDouble), floats_of(8, at::kDouble)}, 80),
              ElementsAre(ElementsAre(2, 1), ElementsAre(0)));
}

TEST(GradientBuckets, of_nothing_are_none) { EXPECT_TRUE(plan_buckets({}, 80).empty()); }

// Three ranks of which the others do as this one does.
class Alike : public ProcessGroup {
 public:
  Alike() : ProcessGroup(0, 3) {}
  const std::string& name() const override { return name_; }
  Pending all_reduce(const at::Tensor& tensor) override {
    sizes.push_back(tensor.numel());
    return Pending([tensor] { tensor.mul_(3); });
  }
  Pending broadcast(const at::Tensor&, int64_t) override {
    return Pending([] {});
  }
  Pending send(const at::Tensor&, int64_t) override {
    return Pending([] {});
  }
  Pending receive(const at::Tensor&, int64_t) override {
    return Pending([] {});
  }
  std::vector<std::string> all_gather(const std::string& text) override { return {text, text, text}; }
  void report_failure(const std::string&) noexcept override {}
  void leave() override {}

  std::vector<int64_t> sizes;  // of what was reduced, in order

 private:
  std::string name_ = "alike";
};

struct ReducedGradients : testing::Test {
  at::Tensor first = at::ones({5}).requires_grad_(), second = at::ones({7}).requires_grad_(),
             unused = at::ones({2}).requires_grad_();
  Alike ranks;
};

TEST_F(ReducedGradients, leave_while_the_backward_pass_goes_on) {
  GradientBuckets buckets({first, second}, ranks, /*bucket_bytes=*/4);
  buckets.expect();
  std::vector<size_t> left;  // buckets, when the gradient of first * 2 is computed
  auto early = first * 2;
  early.register_hook([&](const at::Tensor&) { left.push_back(ranks.sizes.size()); });
  (early.sum() * second.sum()).backward();
  EXPECT_EQ(left, std::vector<size_t>{1});
  buckets.finish();
}

TEST_F(ReducedGradients, are_the_sums_of_all_ranks_and_batches) {
  GradientBuckets buckets({first, second}, ranks);
  (first.sum() * 2).backward();
  buckets.expect();
  (first.sum() + second.sum()).backward();
  buckets.finish();
  EXPECT_TRUE(at::equal(first.grad(), at::full({5}, 9.F)));
  EXPECT_TRUE(at::equal(second.grad(), at::full({7}, 3.F)));
}

TEST_F(ReducedGradients, of_an_earlier_batch_alone_are_not_lost) {
  GradientBuckets buckets({first, second}, ranks);
  first.sum().backward();
  buckets.expect();
  second.sum().backward();
  buckets.finish();
  EXPECT_TRUE(at::equal(first.grad(), at::full({5}, 3.F)));
}

TEST_F(ReducedGradients, of_a_parameter_that_no_rank_used_stay_undefined) {
  GradientBuckets buckets({first, unused}, ranks);
  buckets.expect();
  first.sum().backward();
  buckets.finish();
  EXPECT_FALSE(unused.grad().defined());
  EXPECT_TRUE(first.grad().defined());
}

}  // namespace
}  // namespace wkv::zoo
