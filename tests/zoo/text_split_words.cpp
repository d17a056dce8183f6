#include <gtest/gtest.h>

#include "text/split_words.h"

namespace wkv::zoo {
namespace {

using Words = std::vector<std::string>;

Words split(std::string_view text) {
  Words words;
  while (!text.empty()) {
    const std::size_t length = first_word(text);
    words.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return words;
}

struct SplitCase {
  const char* name;
  Words words;  // of their concatenation
};

const SplitCase kSplitCases[] = {
    {"letters_take_one_space_along", {"In", " the", " beginning"}},
    {"numbers_take_one_space_along", {"1", "a", " 23"}},
    {"signs_take_one_space_along", {"a", " !?", "b", "..."}},
    {"contractions", {"I", "'m", " it", "'s", " can", "'t", " we", "'re", "'ve", "'ll", "'d"}},
    {"contractions_end_before_more_letters", {"'s", "he", "'re", "st"}},
    {"no_contractions_in_upper_case", {"it", "'", "S"}},
    {"a_space_before_an_apostrophe", {" '", "s"}},
    {"an_apostrophe_after_signs", {"!'", "s"}},
    {"a_run_of_spaces_leaves_its_last_to_the_word", {"a", "  ", " b"}},
    {"a_run_of_spaces_at_the_end_is_whole", {"a", "   "}},
    {"a_newline_before_a_word_stands_alone", {"a", "\n\n", "\n", "b"}},
    {"one_newline", {"a", "\n", "b"}},
    {"a_space_after_newlines_joins_the_word", {"a", "\n\n", " b"}},
    {"a_no_break_space_joins_no_word", {"a", " ", "\u00A0", "b"}},
    {"wide_spaces", {"\u3000\u2003", "\u2003", "b"}},
    {"u200b_is_no_space", {"a", "\u200B", "b"}},
    {"control_characters_are_no_spaces", {"a", " \x1C\x1F", "b"}},
    {"u0085_is_a_space", {"\u0085\u0085"}},
    {"letters_of_any_script", {"Gr\u00FC\u00DFe", " \u4F60\u597D", "\uFF0C", "\u043C\u0438\u0440"}},
    {"marks_are_no_letters", {"e", "\u0301", "a"}},
    {"numbers_of_any_script", {"\u0661\u0662\u00BD\u2167"}},
    {"letters_above_the_first_plane", {"\U0001D4B3a", "\U0001F600\U0001F600"}},
    {"nul", {std::string(1, '\0'), "a"}},
};

class SplitWords : public testing::TestWithParam<SplitCase> {};
INSTANTIATE_TEST_SUITE_P(Table, SplitWords, testing::ValuesIn(kSplitCases),
                         [](const auto& test) { return test.param.name; });

TEST_P(SplitWords, are_those_of_the_pattern) {
  std::string text;
  for (const std::string& word : GetParam().words) text += word;
  EXPECT_EQ(split(text), GetParam().words);
}

}  // namespace
}  // namespace wkv::zoo
