#include <gtest/gtest.h>

#include <vector>

#include "bench/memory.h"

namespace wkv::test {
namespace {

constexpr double kMebibytes = 64;
std::vector<char> touched_memory() { return std::vector<char>(static_cast<size_t>(kMebibytes) << 20, 'x'); }

}  // namespace

TEST(BenchMemory, memory_in_use_is_counted) {
  const double before = zoo::process_memory().resident;
  const auto used = touched_memory();
  EXPECT_GT(zoo::process_memory().resident, before + 0.9 * kMebibytes);
}

TEST(BenchMemory, the_peak_outlasts_the_use_until_it_is_forgotten) {
  zoo::forget_peak_memory();
  const double before = zoo::process_memory().peak;
  touched_memory();
  EXPECT_GT(zoo::process_memory().peak, before + 0.9 * kMebibytes);
  zoo::forget_peak_memory();
  EXPECT_LT(zoo::process_memory().peak, before + 0.5 * kMebibytes);
}

}  // namespace wkv::test
