#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/bpe_encoding.h"
#include "text_bpe_cases.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;

// The tokens of a word; merge i makes the token 256 + i.
std::vector<int64_t> merged(std::vector<std::string> merges, std::string_view word) {
  const BpeMerges table(check_bpe_file(test::small_bpe_file(std::move(merges)), "file"));
  BpeEncoding encoding(table);
  encoding.append_word(word);
  return encoding.take();
}

// As the definition says: over and over the first merge in the list that is there, at its leftmost place.
std::vector<int64_t> merged_by_definition(const BpeVocabulary& vocabulary, std::string_view word) {
  std::vector<int64_t> tokens;
  for (const char byte : word) tokens.push_back(vocabulary.single_bytes[static_cast<unsigned char>(byte)]);
  for (bool found = true; found;) {
    found = false;
    for (const BpeMerge& merge : vocabulary.merges) {
      const int64_t pair[] = {merge.left, merge.right};
      const auto at = std::search(tokens.begin(), tokens.end(), pair, pair + 2);
      if (at == tokens.end()) continue;
      *at = merge.result;
      tokens.erase(at + 1);
      found = true;
      break;
    }
  }
  return tokens;
}

TEST(BpeEncoding, the_first_merge_in_the_list_goes_first) {
  EXPECT_THAT(merged({"b c", "a b"}, "abc"), ElementsAre('a', 256));
  EXPECT_THAT(merged({"a b", "b c"}, "abc"), ElementsAre(256, 'c'));
}

TEST(BpeEncoding, of_equal_pairs_the_leftmost_goes_first) {
  EXPECT_THAT(merged({"a a"}, "aaa"), ElementsAre(256, 'a'));
}

TEST(BpeEncoding, merges_are_merged_again) {
  EXPECT_THAT(merged({"a b", "ab c", "ab abc"}, "ababc"), ElementsAre(258));
}

TEST(BpeEncoding, a_token_that_no_merge_reaches_is_not_taken) {
  BpeFile file = test::small_bpe_file({"a b"});
  file.merges.clear();
  const BpeMerges table(check_bpe_file(file, "file"));
  BpeEncoding encoding(table);
  encoding.append_word("ab");
  EXPECT_THAT(encoding.take(), ElementsAre('a', 'b'));
}

TEST(BpeEncoding, a_word_seen_before_has_the_same_tokens) {
  const BpeMerges table(check_bpe_file(test::small_bpe_file({"a b"}), "file"));
  BpeEncoding encoding(table);
  for (const char* word : {"abc", "x", "abc", "abc"}) encoding.append_word(word);
  EXPECT_THAT(encoding.take(), ElementsAre(256, 'c', 'x', 256, 'c', 256, 'c'));
}

TEST(BpeEncoding, more_words_than_are_remembered) {
  const BpeMerges table(check_bpe_file(test::small_bpe_file({}), "file"));
  std::vector<std::string> words;
  for (int i = 0; i < 150'000; ++i) words.push_back(std::to_string(i % 100'000));
  BpeEncoding encoding(table);
  std::vector<int64_t> expected;
  for (const std::string& word : words) {
    encoding.append_word(word);
    expected.insert(expected.end(), word.begin(), word.end());
  }
  EXPECT_EQ(encoding.take(), expected);
}

TEST(BpeEncoding, is_what_the_definition_says) {
  const std::vector<std::string> merges = {"a b",  "b a",  "a a", "ab ab", "aa b",  "b b",
                                           "c ab", "ab a", "c c", "cc c",  "bb ba", "abab ab"};
  const BpeVocabulary vocabulary = check_bpe_file(test::small_bpe_file(merges), "file");
  unsigned random = 1;
  for (int i = 0; i < 300; ++i) {
    std::string word;
    for (int length = 1 + i / 5; length > 0; --length) {
      random = random * 1664525 + 1013904223;
      word += static_cast<char>('a' + (random >> 16) % 3);
    }
    EXPECT_EQ(merged(merges, word), merged_by_definition(vocabulary, word)) << word;
  }
}

// Looking through the whole word for each merge would take minutes.
TEST(BpeEncoding, a_word_of_a_hundred_thousand_letters) {
  std::vector<std::string> merges;
  for (std::string token = "a"; token.size() < 1024; token += token) merges.push_back(token + " " + token);
  EXPECT_EQ(merged(merges, std::string(100 << 10, 'a')), std::vector<int64_t>(100, 256 + 9));
}

}  // namespace
}  // namespace wkv::zoo
