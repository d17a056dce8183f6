#include <gtest/gtest.h>

#include "text/byte_trie.h"

namespace wkv::zoo {
namespace {

// The string found, or "none".
std::string longest(const std::vector<std::string>& strings, std::string_view text) {
  const auto [length, index] = ByteTrie(strings).longest_prefix(text);
  if (length == 0) return "none";
  EXPECT_EQ(strings[static_cast<std::size_t>(index)], text.substr(0, length));
  return std::string(text.substr(0, length));
}

TEST(ByteTrie, the_longest_string_that_the_text_begins_with_is_found) {
  EXPECT_EQ(longest({"abcd", "a", "ab", "b"}, "abce"), "ab");
  EXPECT_EQ(longest({"abcd", "a", "ab", "b"}, "abcde"), "abcd");
}

TEST(ByteTrie, a_beginning_that_is_no_string_is_not_found) {
  EXPECT_EQ(longest({"abcd"}, "abc"), "none");
  EXPECT_EQ(longest({"abcd"}, "bcd"), "none");
}

TEST(ByteTrie, any_bytes_may_be_strings) {
  const std::string nul(1, '\0');
  EXPECT_EQ(longest({nul, nul + nul, "\xFF"}, nul + nul + "a"), nul + nul);
  EXPECT_EQ(longest({nul, "\xFF\xFE"}, "\xFF\xFE\xFD"), "\xFF\xFE");
}

TEST(ByteTrie, nothing_is_found_in_nothing) {
  EXPECT_EQ(longest({}, "abc"), "none");
  EXPECT_EQ(longest({"a"}, ""), "none");
}

}  // namespace
}  // namespace wkv::zoo
