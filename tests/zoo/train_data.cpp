#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "train/data.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

TrainConfig plan_config(const std::string& order, int64_t batch, int64_t context) {
  TrainConfig config;
  config.data.order = order;
  config.batch = batch;
  config.context = context;
  return config;
}

std::string temporary_text(const std::string& name, const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

TEST(TrainText, the_last_bytes_are_held_out) {
  const TrainConfig::Data config{.files = {temporary_text("a.txt", "0123456789")}, .held_out = 0.3};
  const auto data = load_text(config);
  EXPECT_TRUE(at::equal(data.train, at::arange('0', '7', at::kByte)));
  EXPECT_TRUE(at::equal(data.held_out, at::arange('7', ':', at::kByte)));
  EXPECT_EQ(data.held_out_bytes, 3);
}

TEST(TrainText, files_are_one_text) {
  const TrainConfig::Data config{.files = {temporary_text("a.txt", "ab"), temporary_text("b.txt", "cd")},
                                 .held_out = 0};
  EXPECT_TRUE(at::equal(load_text(config).train, at::arange('a', 'e', at::kByte)));
}

TEST(TrainText, no_character_is_cut_in_two) {
  const TrainConfig::Data config{.files = {temporary_text("a.txt",
                                                          "ab\u20ac"
                                                          "c")},
                                 .held_out = 0.5};  // 2 + 3 + 1 bytes
  EXPECT_EQ(load_text(config).held_out_bytes, 1);
}

TEST(TrainText, a_missing_file_is_named) {
  EXPECT_THAT([] { load_text({.files = {"no/such/text.txt"}}); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("no/such/text.txt")));
}

TEST(TrainBatches, an_epoch_reads_every_window_once) {
  BatchPlan plan(103, plan_config("shuffled", 3, 10));  // 9 windows, whatever the offset
  std::set<int64_t> starts;
  for (int64_t i = 0; i < 3; ++i)
    for (const int64_t start : plan.batch(i).starts) starts.insert(start);
  ASSERT_EQ(starts.size(), 9u);
  EXPECT_EQ(*starts.rbegin() - *starts.begin(), 80);
  EXPECT_LT(*starts.begin(), 10);
  EXPECT_EQ(plan.epochs(3), 1.0);
}

TEST(TrainBatches, no_window_leaves_the_text) {
  for (const char* order : {"shuffled", "consecutive"})
    for (int64_t tokens = 45; tokens < 80; ++tokens) {
      BatchPlan plan(tokens, plan_config(order, 4, 11));
      for (int64_t i = 0; i < 20; ++i)
        for (const int64_t start : plan.batch(i).starts) {
          EXPECT_GE(start, 0);
          EXPECT_LE(start + 11 + 1, tokens) << order;
        }
    }
}

TEST(TrainBatches, epochs_differ_in_order_and_offset) {
  BatchPlan plan(1031, plan_config("shuffled", 10, 10));
  std::set<int64_t> offsets;
  for (int64_t epoch = 0; epoch < 8; ++epoch) offsets.insert(plan.batch(epoch * 102 / 10 + 1).starts[0] % 10);
  EXPECT_GT(offsets.size(), 2u);
}

TEST(TrainBatches, depend_on_nothing_but_recipe_and_index) {
  for (const char* order : {"shuffled", "consecutive"}) {
    auto config = plan_config(order, 4, 10);
    config.data.reset = 0.5;
    BatchPlan walked(1000, config);
    for (int64_t i = 0; i < 57; ++i) walked.batch(i);
    BatchPlan fresh(1000, config);
    EXPECT_EQ(walked.batch(57).starts, fresh.batch(57).starts);
    EXPECT_EQ(walked.batch(58).fresh, fresh.batch(58).fresh);
  }
}

TEST(TrainBatches, another_seed_reads_in_another_order) {
  auto config = plan_config("shuffled", 4, 10);
  const auto starts = BatchPlan(1000, config).batch(0).starts;
  config.seed = 2;
  EXPECT_NE(BatchPlan(1000, config).batch(0).starts, starts);
}

TEST(TrainBatches, consecutive_rows_read_on_until_the_epoch_ends) {
  BatchPlan plan(201, plan_config("consecutive", 2, 10));  // rows of 100 tokens, 9 windows
  auto before = plan.batch(0);
  EXPECT_EQ(before.fresh, (std::vector<bool>{true, true}));
  EXPECT_EQ(before.starts[1] - before.starts[0], 100);
  for (int64_t i = 1; i < 9; ++i) {
    const auto windows = plan.batch(i);
    EXPECT_EQ(windows.fresh, (std::vector<bool>{false, false}));
    for (size_t row = 0; row < 2; ++row) EXPECT_EQ(windows.starts[row], before.starts[row] + 10);
    before = windows;
  }
  EXPECT_EQ(plan.batch(9).fresh, (std::vector<bool>{true, true}));
}

TEST(TrainBatches, reset_is_the_share_of_rows_that_start_from_the_empty_state) {
  auto config = plan_config("consecutive", 10, 10);
  config.data.reset = 0.25;
  BatchPlan plan(100'000, config);
  int64_t fresh = 0;
  for (int64_t i = 1; i < 900; ++i) fresh += std::ranges::count(plan.batch(i).fresh, true);
  EXPECT_NEAR(static_cast<double>(fresh) / 8990, 0.25, 0.02);
}

TEST(TrainBatches, a_text_shorter_than_the_context_is_refused) {
  EXPECT_THAT([] { BatchPlan(10, plan_config("shuffled", 1, 10)); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("context must be at most 9")));
}

}  // namespace
}  // namespace wkv::zoo
