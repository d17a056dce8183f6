#include <gtest/gtest.h>

#include "text/nfc.h"

namespace wkv::zoo {
namespace {

struct NfcCase {
  const char* name;
  std::string text, normal;
};

const NfcCase kNfcCases[] = {
    {"empty", "", ""},
    {"ascii_with_nul", std::string("a\0b", 3), std::string("a\0b", 3)},
    {"latin_1_is_normal", "\u00E9\u00FC\u00BD", "\u00E9\u00FC\u00BD"},
    {"a_mark_joins_its_letter", "e\u0301", "\u00E9"},
    {"two_marks_join_one_letter", "u\u0308\u0304", "\u01D6"},
    {"a_mark_joins_a_composed_letter", "\u00FC\u0304", "\u01D6"},
    {"marks_are_sorted", "a\u0301\u0323", "\u1EA1\u0301"},
    {"marks_of_one_class_keep_their_order", "x\u0301\u0300", "x\u0301\u0300"},
    {"a_mark_is_blocked_by_another_of_its_class", "a\u0302\u0302", "\u00E2\u0302"},
    {"a_mark_passes_one_of_a_lower_class", "a\u0323\u0308", "\u1EA1\u0308"},
    {"a_letter_between_blocks", "eb\u0301", "eb\u0301"},
    {"a_mark_without_letter", "\u0301a", "\u0301a"},
    {"a_sign_may_change", "\u212B\u2126", "\u00C5\u03A9"},
    {"a_mark_that_is_two", "\u0344", "\u0308\u0301"},
    {"compatibility_characters_stay", "\uFB01\u00B2", "\uFB01\u00B2"},
    {"compatibility_ideographs_change", "\uF900\U0002FA1D", "\u8C48\U0002A600"},
    {"excluded_from_composition", "\u0958", "\u0915\u093C"},
    {"a_vowel_sign_that_is_no_mark_joins", "\u09C7\u09BE", "\u09CB"},
    {"a_vowel_sign_that_decomposes_into_marks", "\u0F71\u0F73", "\u0F71\u0F71\u0F72"},
    {"greater_and_overlay", ">\u0338", "\u226F"},
    {"hangul_lead_and_vowel", "\u1112\u1161", "\uD558"},
    {"hangul_lead_vowel_and_trail", "\u1112\u1161\u11AB", "\uD55C"},
    {"hangul_syllable_and_trail", "\uD558\u11AB", "\uD55C"},
    {"hangul_closed_syllable_takes_no_trail", "\uD55C\u11AB", "\uD55C\u11AB"},
    {"hangul_syllables_are_normal", "\uD55C\uAE00\uAC00\uD7A3", "\uD55C\uAE00\uAC00\uD7A3"},
    {"hangul_u11a7_is_no_trail", "\uD558\u11A7", "\uD558\u11A7"},
    // The published tokenizers know an older Unicode.
    {"newer_composites_are_unknown", "\U00011935\U00011930", "\U00011935\U00011930"},
};

class Nfc : public testing::TestWithParam<NfcCase> {};
INSTANTIATE_TEST_SUITE_P(Table, Nfc, testing::ValuesIn(kNfcCases), [](const auto& test) { return test.param.name; });

TEST_P(Nfc, gives_the_normal_form) { EXPECT_EQ(nfc(GetParam().text), GetParam().normal); }

TEST_P(Nfc, leaves_the_normal_form_as_it_is) { EXPECT_EQ(nfc(GetParam().normal), GetParam().normal); }

TEST_P(Nfc, is_the_same_between_other_characters) {
  EXPECT_EQ(nfc("a\u4E00" + GetParam().text + "\U0001F600"), nfc("a\u4E00" + GetParam().normal + "\U0001F600"));
}

TEST(NfcTime, a_long_run_of_marks_is_sorted) {
  std::string text = "x", sorted = "x";
  for (int i = 0; i < 50'000; ++i) text += "\u0301\u0323";  // classes 230 and 220
  for (int i = 0; i < 50'000; ++i) sorted += "\u0323";
  for (int i = 0; i < 50'000; ++i) sorted += "\u0301";
  EXPECT_EQ(nfc(text), sorted);
}

}  // namespace
}  // namespace wkv::zoo
