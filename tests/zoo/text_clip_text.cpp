#include <gtest/gtest.h>

#include "text/clip_lower_case.h"
#include "text/clip_text.h"
#include "text/clip_words.h"

namespace wkv::zoo {
namespace {

struct CleanCase {
  const char* name;
  std::string text, cleaned;
};

const CleanCase kCleanCases[] = {
    {"nothing", "", ""},
    {"nothing_but_spaces", " \t\u3000 ", ""},
    {"white_space", "  a \t\r\n b \u2003 c\u00A0", "a b c"},
    {"lower_case", "A Photo of a CAT", "a photo of a cat"},
    {"ligatures", "\uFB01n\u0133\u01C5\uFB05", "finijd\u017E\u017Ft"},
    {"full_width", "\uFF21\uFF22\u3000\uFF11", "ab 1"},
    {"half_width_kana_and_its_voicing", "\uFF76\uFF9E", "\u30AC"},
    {"full_width_macron", "a\uFFE3", "a \u0304"},
    {"curly_quotes", "\u201Cq\u201D \u2018s\u2019 \u02BCn", "\"q\" 's' 'n"},
    {"a_ligature_with_a_quote", "\u0149", "'n"},
    {"windows_1252_as_control_characters", "\u0085a\u0092", "\u2026a'"},
    {"escapes_of_terminals", "a\x1B[1;31mred\x1B[0m b", "ared b"},
    {"no_escape_of_a_terminal", "\x1B[12;", "[12;"},
    {"control_characters",
     "a\x07"
     "b\x7F"
     "c\uFEFFd\u206Ae\uFFFCf",
     "abcdef"},
    {"a_character_reference", "caf&eacute;", "caf\u00E9"},
    {"a_reference_in_capitals", "CAF&EACUTE;", "caf\u00E9"},
    {"references_within_references", "&amp;amp;amp;lt;", "<"},
    {"html_is_decoded_as_browsers_do", "<b>&copy &EACUTE;</b>", "<b>\u00A9 &eacute;</b>"},
    {"html_begins_with_its_line", "&EACUTE;\n<b>\n&EACUTE;", "\u00E9 <b> &eacute;"},
    {"html_that_was_decoded_is_text", "&lt;b&gt;&EACUTE;", "<b>\u00E9"},
    {"a_reference_in_full_width", "\uFF06amp;lt;", "<"},
    {"a_reference_around_a_control_character", "&l\x01t;", "<"},
    {"a_letter_and_the_mark_of_a_reference", "e&#x301;", "\u00E9"},
    {"normal_form", "e\u0301", "\u00E9"},
    {"normal_form_of_unicode_13", "\U00011935\U00011930", "\U00011938"},
    {"marks_of_unicode_13", "q\u1ABF\u0327", "q\u0327\u1ABF"},
    {"text_of_a_wrong_encoding_stays", "caf\u00C3\u00A9", "caf\u00E3\u00A9"},
};

class Clean : public testing::TestWithParam<CleanCase> {};
INSTANTIATE_TEST_SUITE_P(Table, Clean, testing::ValuesIn(kCleanCases),
                         [](const auto& test) { return test.param.name; });

TEST_P(Clean, gives_what_clip_reads) { EXPECT_EQ(clean_clip_text(GetParam().text), GetParam().cleaned); }

TEST(CleanDepth, references_are_decoded_to_a_depth_of_64) {
  std::string nested = "&";
  for (int i = 0; i < 62; ++i) nested += "amp;";
  EXPECT_EQ(clean_clip_text(nested + "lt;"), "<");
  EXPECT_EQ(clean_clip_text(nested + "amp;amp;amp;amp;amp;lt;"), "&amp;lt;");
}

struct LowerCase {
  const char* name;
  std::string text, lower;
};

const LowerCase kLowerCases[] = {
    {"ascii", "aZ[", "az["},
    {"latin", "\u00C9\u0178\u1E9E", "\u00E9\u00FF\u00DF"},
    {"every_other_character", "\u0100\u0101\u0102", "\u0101\u0101\u0103"},
    {"one_that_becomes_two", "\u0130", "i\u0307"},
    {"beyond_the_first_plane", "\U00010400", "\U00010428"},
    {"a_final_sigma", "\u039F\u0394\u039F\u03A3", "\u03BF\u03B4\u03BF\u03C2"},
    {"a_sigma_alone", "\u03A3", "\u03C3"},
    {"a_sigma_within_a_word", "A\u03A3B", "a\u03C3b"},
    {"a_sigma_within_a_word_of_two", "A\u03A3'B", "a\u03C3'b"},
    {"a_final_sigma_and_ignorable_characters", "A'\u03A3.", "a'\u03C2."},
    {"a_sigma_behind_a_number", "1\u03A3", "1\u03C3"},
};

class ClipLowerCase : public testing::TestWithParam<LowerCase> {};
INSTANTIATE_TEST_SUITE_P(Table, ClipLowerCase, testing::ValuesIn(kLowerCases),
                         [](const auto& test) { return test.param.name; });

TEST_P(ClipLowerCase, is_unicodes_full_mapping) { EXPECT_EQ(clip_lower_case(GetParam().text), GetParam().lower); }

using ClipWords = std::vector<std::string>;

ClipWords clip_words(std::string_view text) {
  ClipWords words;
  for (auto word = take_clip_word(text); !word.empty(); word = take_clip_word(text)) words.emplace_back(word);
  return words;
}

struct ClipWordsCase {
  const char* name;
  std::string text;
  ClipWords words;
};

const ClipWordsCase kClipWordsCases[] = {
    {"nothing", "", {}},
    {"words", "a photo", {"a", "photo"}},
    {"contractions", "it's we'll i'd", {"it", "'s", "we", "'ll", "i", "'d"}},
    {"contractions_end_before_more_letters", "'street", {"'s", "treet"}},
    {"a_long_s_is_an_s", "'\u017Fa", {"'\u017F", "a"}},
    {"an_apostrophe_after_signs", "!'s", {"!'", "s"}},
    {"each_digit_alone", "a1b23", {"a", "1", "b", "2", "3"}},
    {"signs", "!? a_b", {"!?", "a", "_", "b"}},
    {"numbers_that_are_no_digits", "\u00BD\u2167", {"\u00BD", "\u2167"}},
    {"marks_are_signs", "\u0915\u094D\u0937\u093F", {"\u0915", "\u094D", "\u0937", "\u093F"}},
    {"the_greek_mark_that_is_nothing", "a\u0345b \u0345", {"a", "b"}},
    {"special_tokens", "<start_of_text>x<end_of_text>", {"<start_of_text>", "x", "<end_of_text>"}},
    {"special_tokens_after_signs", "!<end_of_text>", {"!<", "end", "_", "of", "_", "text", ">"}},
    {"a_special_token_with_a_long_s", "<\u017Ftart_of_text>", {"<\u017Ftart_of_text>"}},
};

class ClipWordsOf : public testing::TestWithParam<ClipWordsCase> {};
INSTANTIATE_TEST_SUITE_P(Table, ClipWordsOf, testing::ValuesIn(kClipWordsCases),
                         [](const auto& test) { return test.param.name; });

TEST_P(ClipWordsOf, a_text) { EXPECT_EQ(clip_words(GetParam().text), GetParam().words); }

}  // namespace
}  // namespace wkv::zoo
