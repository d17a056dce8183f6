#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>

#include "train/checkpoint.h"

namespace wkv::zoo {
namespace {

std::filesystem::path empty_folder(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

std::string content(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::filesystem::path write(const std::filesystem::path& output, int64_t steps, const std::string& text) {
  return write_checkpoint(output, steps, [&](const auto& folder) { std::ofstream(folder / "file") << text; });
}

TEST(TrainCheckpoint, a_new_one_replaces_the_old_one) {
  const auto output = empty_folder("checkpoint_replaces");
  write(output, 9, "nine");
  const auto ten = write(output, 10, "ten");
  EXPECT_EQ(newest_checkpoint(output), ten);
  EXPECT_EQ(content(ten / "file"), "ten");
  EXPECT_FALSE(std::filesystem::exists(output / "checkpoint-9"));
}

TEST(TrainCheckpoint, the_newest_has_the_most_steps) {
  const auto output = empty_folder("checkpoint_newest");
  for (const char* name : {"checkpoint-9", "checkpoint-10", "checkpoint-11.incomplete", "checkpoint-x", "checkpoint-"})
    std::filesystem::create_directories(output / name);
  EXPECT_EQ(newest_checkpoint(output), output / "checkpoint-10");
}

TEST(TrainCheckpoint, there_is_none_in_a_folder_that_does_not_exist) {
  EXPECT_EQ(newest_checkpoint("no/such/folder"), std::nullopt);
}

TEST(TrainCheckpoint, one_that_fails_leaves_the_old_one) {
  const auto output = empty_folder("checkpoint_fails");
  write(output, 1, "one");
  const auto fail = [](const auto& folder) {
    std::ofstream(folder / "file") << "half";
    throw std::runtime_error("disk full");
  };
  EXPECT_THROW(write_checkpoint(output, 2, fail), std::runtime_error);
  EXPECT_EQ(content(*newest_checkpoint(output) / "file"), "one");
  EXPECT_FALSE(std::filesystem::exists(output / "checkpoint-2.incomplete"));
}

TEST(TrainCheckpoint, the_remains_of_a_killed_writer_are_removed) {
  const auto output = empty_folder("checkpoint_remains");
  std::filesystem::create_directories(output / "checkpoint-5.incomplete");
  write(output, 7, "seven");
  EXPECT_FALSE(std::filesystem::exists(output / "checkpoint-5.incomplete"));
}

TEST(TrainCheckpoint, the_older_one_of_a_writer_killed_before_it_was_removed_goes_with_the_same_steps) {
  const auto output = empty_folder("checkpoint_older");
  const auto ten = write(output, 10, "ten");
  std::filesystem::create_directories(output / "checkpoint-9");
  EXPECT_EQ(write(output, 10, "again"), ten);
  EXPECT_EQ(content(ten / "file"), "ten");
  EXPECT_FALSE(std::filesystem::exists(output / "checkpoint-9"));
}

TEST(TrainCheckpoint, a_writer_killed_at_any_moment_leaves_a_complete_one) {
  const auto output = empty_folder("checkpoint_killed");
  const std::string half(50'000, 'x');
  write(output, 1, half + half);
  for (int trial = 0; trial < 25; ++trial) {
    const pid_t writer = fork();
    if (writer == 0) {
      for (int64_t steps = 2 + trial * 100'000;; ++steps)
        write_checkpoint(output, steps,
                         [&](const auto& folder) { std::ofstream(folder / "file") << half << std::flush << half; });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + 1700 * trial));
    kill(writer, SIGKILL);
    waitpid(writer, nullptr, 0);
    const auto newest = newest_checkpoint(output);
    ASSERT_TRUE(newest);
    EXPECT_EQ(content(*newest / "file").size(), 2 * half.size());
  }
}

}  // namespace
}  // namespace wkv::zoo
