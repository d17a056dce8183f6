#include <gtest/gtest.h>

#include "generate/stop_filter.h"
#include "wkv/error.h"

namespace wkv {
namespace {

TEST(StopFilter, without_stop_strings_everything_passes) {
  StopFilter filter({});
  EXPECT_EQ(filter.push("any"), "any");
}

TEST(StopFilter, what_may_become_a_stop_string_is_held_back) {
  StopFilter filter({"\n\nUser:"});
  EXPECT_EQ(filter.push("a\n"), "a");
  EXPECT_EQ(filter.push("\nUs"), "");
  EXPECT_EQ(filter.push("age"), "\n\nUsage");
  EXPECT_FALSE(filter.stopped());
}

TEST(StopFilter, the_text_ends_before_a_stop_string) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.push("xE"), "x");
  EXPECT_EQ(filter.push("ND and more"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("later"), "");
  EXPECT_EQ(filter.flush(), "");
}

TEST(StopFilter, a_false_start_may_hold_the_true_one) {
  StopFilter filter({"aab"});
  EXPECT_EQ(filter.push("aa"), "");
  EXPECT_EQ(filter.push("a"), "a");
  EXPECT_EQ(filter.push("b"), "");
  EXPECT_TRUE(filter.stopped());
}

TEST(StopFilter, the_first_of_several_counts) {
  StopFilter filter({"cd", "b"});
  EXPECT_EQ(filter.push("abcd"), "a");
}

TEST(StopFilter, at_the_end_a_mere_beginning_is_text) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.push("EN"), "");
  EXPECT_EQ(filter.flush(), "EN");
}

TEST(StopFilter, an_empty_stop_string_is_refused) { EXPECT_THROW(StopFilter({"a", ""}), Error); }

}  // namespace
}  // namespace wkv
