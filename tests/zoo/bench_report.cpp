#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "bench/report.h"
#include "bench_counting_model.h"
#include "io_files.h"

namespace wkv::test {

TEST(BenchReport, has_every_combination) {
  CountingModel model;
  const auto results =
      zoo::measure_speed(model, {.batches = {1, 3}, .prompts = {4, 8}, .threads = {1, 2}, .decode = 2, .rounds = 1});
  std::vector<std::tuple<std::string, int64_t, int64_t, int64_t>> work;
  for (const auto& r : results) work.emplace_back(r.work, r.threads, r.batch, r.tokens);
  decltype(work) expected;
  for (const int64_t threads : {1, 2}) {
    for (const int64_t batch : {1, 3}) expected.emplace_back("decode", threads, batch, 2);
    for (const int64_t batch : {1, 3})
      for (const int64_t tokens : {4, 8}) expected.emplace_back("prompt", threads, batch, tokens);
  }
  EXPECT_EQ(work, expected);
}

TEST(BenchReport, the_median_lies_in_the_spread) {
  CountingModel model;
  for (const auto& r : zoo::measure_speed(model, {.prompts = {8}, .decode = 4, .rounds = 4})) {
    EXPECT_GT(r.lowest, 0);
    EXPECT_LE(r.lowest, r.median);
    EXPECT_LE(r.median, r.highest);
  }
}

TEST(BenchReport, every_round_and_one_before_them_runs_the_work) {
  CountingModel model;
  zoo::measure_speed(model, {.prompts = {8}, .decode = 1, .rounds = 3});
  EXPECT_EQ(std::ranges::count(model.runs, std::pair<int64_t, int64_t>(1, 8)), 4);
}

TEST(BenchReport, leaves_the_number_of_threads_as_it_was) {
  CountingModel model;
  const int before = at::get_num_threads();
  zoo::measure_speed(model, {.prompts = {1}, .threads = {before + 1}, .decode = 1, .rounds = 1});
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(BenchReport, what_a_model_can_not_do_is_refused_before_anything_is_timed) {
  CountingModel model("past_k");
  expect_error(ErrorCode::invalid_argument, "its state grows", [&] {
    zoo::measure_speed(model, {.batches = {1, 2}, .prompts = {8}, .decode = 1, .rounds = 9});
  });
  EXPECT_LT(model.runs.size(), 5);
}

}  // namespace wkv::test
