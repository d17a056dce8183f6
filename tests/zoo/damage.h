// Every way in which the tests damage a file, and what memory that may cost.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "bench/memory.h"

namespace wkv::test {

// visit(damaged, what): the file without its last part, 64 times.
template <typename visit_t>
void for_each_truncation(std::string_view whole, const visit_t& visit) {
  for (size_t part = 0; part < 64; ++part)
    visit(std::string(whole.substr(0, whole.size() * part / 64)), std::to_string(part) + "/64");
}

// visit(damaged, what): with one byte changed, each byte in several ways; `step`: of so many bytes only one.
template <typename visit_t>
void for_each_flipped_byte(std::string_view whole, const visit_t& visit, size_t step = 1) {
  for (size_t at = 0; at < whole.size(); at += step)
    for (const int mask : {0x01, 0x80, 0xff}) {
      std::string damaged(whole);
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      visit(damaged, "byte " + std::to_string(at) + " ^ " + std::to_string(mask));
    }
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kFreedMemoryIsKept = true;
#else
constexpr bool kFreedMemoryIsKept = false;
#endif

// Runs `action`, which reads a file of so many bytes: it may take twice the file and 64 MB. AddressSanitizer keeps what
// was freed, and would be counted too.
template <typename action_t>
void expect_little_memory(size_t file_bytes, const std::string& what, const action_t& action) {
  zoo::forget_peak_memory();
  const double before = zoo::process_memory().peak;
  action();
  if (kFreedMemoryIsKept) return;
  constexpr double kMiB = 1 << 20;
  EXPECT_LE(zoo::process_memory().peak - before, 2 * static_cast<double>(file_bytes) / kMiB + 64) << what;
}

}  // namespace wkv::test
