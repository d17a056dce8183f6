#include <gtest/gtest.h>

#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

#define WKV_FFFD "\xEF\xBF\xBD"

struct Utf8Case {
  const char* name;
  std::string bytes;
  std::string text;  // with U+FFFD for each maximal ill-formed subsequence
};

const Utf8Case kUtf8Cases[] = {
    {"empty", "", ""},
    {"ascii_with_nul", std::string("a\0b", 3), std::string("a\0b", 3)},
    {"two_three_and_four_bytes", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"first_and_last_of_each_length", "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
     "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"continuation_alone", "a\x80z", "a" WKV_FFFD "z"},
    {"overlong_slash", "\xC0\xAF", WKV_FFFD WKV_FFFD},
    {"overlong_of_three", "\xE0\x80\xAF", WKV_FFFD WKV_FFFD WKV_FFFD},
    {"surrogate", "\xED\xA0\x80", WKV_FFFD WKV_FFFD WKV_FFFD},
    {"above_the_last_character", "\xF4\x90\x80\x80", WKV_FFFD WKV_FFFD WKV_FFFD WKV_FFFD},
    {"no_lead", "\xF5\xFF", WKV_FFFD WKV_FFFD},
    {"cut_characters_are_one_each", "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", WKV_FFFD WKV_FFFD WKV_FFFD WKV_FFFD "A"},
    {"cut_at_the_end", "a\xF0\x9F\x98", "a" WKV_FFFD},
    {"lead_after_lead", "\xC3\xC3\xA9", WKV_FFFD "\xC3\xA9"},
};

class Utf8 : public testing::TestWithParam<Utf8Case> {};
INSTANTIATE_TEST_SUITE_P(Table, Utf8, testing::ValuesIn(kUtf8Cases), [](const auto& test) { return test.param.name; });

TEST_P(Utf8, bytes_become_the_text_that_the_standard_says) {
  Utf8Decoder decoder;
  std::string text = decoder.push(GetParam().bytes);
  text += decoder.flush();
  EXPECT_EQ(text, GetParam().text);
}

TEST_P(Utf8, coming_byte_by_byte_changes_nothing) {
  Utf8Decoder decoder;
  std::string text;
  for (const char byte : GetParam().bytes) {
    const std::string piece = decoder.push({&byte, 1});
    EXPECT_TRUE(is_valid_utf8(piece));
    text += piece;
  }
  EXPECT_EQ(text + decoder.flush(), GetParam().text);
}

TEST_P(Utf8, is_valid_exactly_when_nothing_is_replaced) {
  EXPECT_EQ(is_valid_utf8(GetParam().bytes), GetParam().bytes == GetParam().text);
}

TEST(Utf8Decoder, an_incomplete_character_is_held_back) {
  Utf8Decoder decoder;
  EXPECT_EQ(decoder.push("a\xE2\x82"), "a");
  EXPECT_EQ(decoder.push("\xAC"), "\xE2\x82\xAC");
  EXPECT_EQ(decoder.flush(), "");
}

TEST(Utf8Decoder, starts_afresh_after_a_flush) {
  Utf8Decoder decoder;
  decoder.push("\xE2");
  decoder.flush();
  EXPECT_EQ(decoder.push("a"), "a");
}

}  // namespace
}  // namespace wkv::zoo
