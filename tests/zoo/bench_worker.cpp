#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/worker.h"
#include "bench_counting_model.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

std::vector<nlohmann::json> bench_answers(models::LanguageModel& model, const std::string& commands) {
  std::istringstream in(commands);
  std::ostringstream out;
  zoo::serve_bench_worker(model, "counting", 0.25, in, out);
  std::vector<nlohmann::json> answers;
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) answers.push_back(nlohmann::json::parse(line));
  return answers;
}

}  // namespace

TEST(BenchWorker, says_that_it_is_ready_with_its_load_time_and_name) {
  CountingModel model;
  EXPECT_EQ(bench_answers(model, ""),
            (std::vector<nlohmann::json>{{{"ready", 1}, {"load_s", 0.25}, {"name", "counting"}}}));
}

TEST(BenchWorker, every_command_has_its_answer) {
  CountingModel model;
  const auto answers = bench_answers(model, "decode 3\nprefill 40\r\nlogits 2\nrss\n");
  ASSERT_EQ(answers.size(), 5);
  for (const size_t timed : {1, 2}) {
    EXPECT_GT(answers[timed]["s"], 0);
    EXPECT_GT(answers[timed]["cpu"], 0);
  }
  EXPECT_EQ(model.runs, (CountingModel::Sizes{{1, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 40}, {1, 2}}));
  EXPECT_EQ(answers[3]["v"], (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(answers[3]["argmax"], 19);
  EXPECT_GT(answers[4]["cur_mb"], 1);
  EXPECT_GE(answers[4]["peak_mb"], answers[4]["cur_mb"]);
}

TEST(BenchWorker, quit_ends_it) {
  CountingModel model;
  EXPECT_EQ(bench_answers(model, "quit\nrss\n").size(), 1);
}

TEST(BenchWorker, what_is_no_command_is_answered_and_does_not_end_it) {
  for (const std::string bad : {"", "decode", "decode 0", "decode -1", "decode 2x", "prefill 99999999999999999999",
                                "logits 1048577", "rss 1", "hello", "\xff\x01", "decode  3"}) {
    CountingModel model;
    const auto answers = bench_answers(model, bad + "\nrss\n");
    ASSERT_EQ(answers.size(), 3) << bad;
    EXPECT_THAT(answers[1].value("error", ""), HasSubstr(bad.starts_with("de") ? "a number of tokens" : "")) << bad;
    EXPECT_TRUE(answers[1].contains("error")) << bad;
    EXPECT_TRUE(answers[2].contains("cur_mb")) << bad;
    EXPECT_TRUE(model.runs.empty()) << bad;
  }
}

}  // namespace wkv::test
