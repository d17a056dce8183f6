#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "bench/memory.h"

namespace wkv::test {
namespace {

constexpr double kMebibytes = 64;

// Asked of the system: an allocator may have that much left from earlier tests.
class TouchedMemory {
 public:
  TouchedMemory() : bytes_(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    EXPECT_NE(bytes_, MAP_FAILED);
    std::memset(bytes_, 'x', kBytes);
  }
  ~TouchedMemory() { munmap(bytes_, kBytes); }

 private:
  static constexpr size_t kBytes = static_cast<size_t>(kMebibytes) << 20;
  void* bytes_;
};

}  // namespace

TEST(BenchMemory, memory_in_use_is_counted) {
  const double before = zoo::process_memory().resident;
  const TouchedMemory used;
  EXPECT_GT(zoo::process_memory().resident, before + 0.9 * kMebibytes);
}

TEST(BenchMemory, the_peak_outlasts_the_use_until_it_is_forgotten) {
  zoo::forget_peak_memory();
  const double before = zoo::process_memory().peak;
  { const TouchedMemory used; }
  EXPECT_GT(zoo::process_memory().peak, before + 0.9 * kMebibytes);
  zoo::forget_peak_memory();
  EXPECT_LT(zoo::process_memory().peak, before + 0.5 * kMebibytes);
}

}  // namespace wkv::test
