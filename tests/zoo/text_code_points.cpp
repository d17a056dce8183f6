#include <gtest/gtest.h>

#include "text/code_points.h"

namespace wkv::zoo {
namespace {

const std::pair<char32_t, std::string> kFirstAndLastOfEachLength[] = {
    {0, std::string(1, '\0')},
    {0x7F, "\x7F"},
    {0x80, "\xC2\x80"},
    {0x7FF, "\xDF\xBF"},
    {0x800, "\xE0\xA0\x80"},
    {0xFFFF, "\xEF\xBF\xBF"},
    {0x10000, "\xF0\x90\x80\x80"},
    {0x10FFFF, "\xF4\x8F\xBF\xBF"},
};

TEST(CodePoints, the_first_character_of_a_text) {
  for (const auto& [code, utf8] : kFirstAndLastOfEachLength) {
    const auto [value, length] = first_code_point(utf8 + "z");
    EXPECT_EQ(value, code);
    EXPECT_EQ(length, utf8.size());
  }
}

TEST(CodePoints, a_character_at_the_end_of_a_text) {
  for (const auto& [code, utf8] : kFirstAndLastOfEachLength) {
    std::string text = "a";
    append_code_point(text, code);
    EXPECT_EQ(text, "a" + utf8);
  }
}

}  // namespace
}  // namespace wkv::zoo
