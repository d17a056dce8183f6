#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "text_bpe_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

TEST(BpeVocabulary, tokens_are_bytes_by_id) {
  const BpeVocabulary vocabulary = check_bpe_file(test::small_bpe_file({"\u0120 a", "\u0120a b"}), "file");
  ASSERT_EQ(vocabulary.tokens.size(), 258);
  EXPECT_EQ(vocabulary.tokens[257], " ab");
  EXPECT_EQ(vocabulary.single_bytes[' '], ' ');
}

TEST(BpeVocabulary, merges_are_ids) {
  const BpeVocabulary vocabulary = check_bpe_file(test::small_bpe_file({"\u0120 a", "\u0120a b"}), "file");
  ASSERT_EQ(vocabulary.merges.size(), 2);
  EXPECT_EQ(vocabulary.merges[1].left, 256);
  EXPECT_EQ(vocabulary.merges[1].right, 'b');
  EXPECT_EQ(vocabulary.merges[1].result, 257);
}

TEST(BpeVocabulary, added_tokens_are_taken_as_they_are_written) {
  BpeFile file = test::small_bpe_file({});
  file.tokens.emplace_back("<\u00E9>", 256);
  file.added = {{"<\u00E9>", 256, false}, {"  ", 257, true}};
  const BpeVocabulary vocabulary = check_bpe_file(file, "file");
  EXPECT_EQ(vocabulary.tokens[256], "<\u00E9>");
  EXPECT_EQ(vocabulary.tokens[257], "  ");
}

TEST(BpeVocabulary, an_added_space_is_not_the_byte) {
  BpeFile file = test::small_bpe_file({});
  file.added = {{" ", 256, true}};
  EXPECT_EQ(check_bpe_file(file, "file").single_bytes[' '], ' ');
}

TEST(BpeVocabulary, bytes_that_no_text_has_need_no_token) {
  BpeFile file = test::small_bpe_file({});
  file.tokens.resize(0xF5);  // the bytes above it occur in no UTF-8
  EXPECT_EQ(check_bpe_file(file, "file").single_bytes[0xF5], -1);
}

struct BadBpeFile {
  const char* name;
  std::function<void(BpeFile&)> damage;  // of the bytes and "ab", id 256
  const char* problem;
};

const BadBpeFile kBadBpeFiles[] = {
    {"token_twice", [](BpeFile& f) { f.tokens.emplace_back("a", 257); }, "the token \"a\" comes twice"},
    {"id_twice", [](BpeFile& f) { f.tokens[256].second = 'a'; }, "the id 97 comes twice"},
    {"id_after_a_gap", [](BpeFile& f) { f.tokens[256].second = 257; },
     "has the id 257; 257 tokens have the ids 0..256"},
    {"negative_id", [](BpeFile& f) { f.tokens[256].second = -1; }, "has the id -1"},
    {"huge_id", [](BpeFile& f) { f.tokens[256].second = INT64_MAX; }, "has the id 9223372036854775807"},
    {"empty_token", [](BpeFile& f) { f.tokens.emplace_back("", 257); }, "the token 257 is empty"},
    {"token_not_of_the_alphabet", [](BpeFile& f) { f.tokens.emplace_back("a b", 257); }, "stands for no byte"},
    {"no_token_for_a_byte", [](BpeFile& f) { f.tokens['a'].first = "xyz"; }, "no token for the byte 0x61"},
    {"no_tokens", [](BpeFile& f) { f = {}; }, "no token for the byte 0x00"},
    {"merge_of_one", [](BpeFile& f) { f.merges.emplace_back("ab"); }, "\"ab\" is not two tokens and a space"},
    {"merge_of_nothing", [](BpeFile& f) { f.merges.emplace_back(" a"); }, "has \"\", which is no token"},
    {"merge_of_three", [](BpeFile& f) { f.merges.emplace_back("a b c"); }, "has \"b c\", which is no token"},
    {"merge_of_an_unknown_token", [](BpeFile& f) { f.merges.emplace_back("abc d"); }, "has \"abc\", which is no token"},
    {"merge_to_an_unknown_token", [](BpeFile& f) { f.merges.emplace_back("b a"); }, "has \"ba\", which is no token"},
    {"merge_to_an_added_token",
     [](BpeFile& f) {
       f.added = {{"ba", 257, false}};
       f.merges.emplace_back("b a");
     },
     "has \"ba\", which is no token"},
    {"merge_twice", [](BpeFile& f) { f.merges.emplace_back("a b"); }, "the merge \"a b\" comes twice"},
    {"added_token_of_another_id",
     [](BpeFile& f) {
       f.added = {{"ab", 257, false}};
     },
     "the token \"ab\" has two ids, 256 and 257"},
    {"added_token_twice",
     [](BpeFile& f) {
       f.added = {{"ab", 256, false}, {"ab", 256, true}};
     },
     "the added token \"ab\" comes twice"},
    {"huge_added_token",
     [](BpeFile& f) {
       f.added = {{std::string(257, 'x'), 257, false}};
     },
     "has more than 256 bytes"},
    {"empty_added_token",
     [](BpeFile& f) {
       f.added = {{"", 257, false}};
     },
     "the token 257 is empty"},
    {"added_token_that_never_stands_in_a_text",
     [](BpeFile& f) {
       f.nfc = true;
       f.added = {{"e\u0301", 257, true}};
     },
     "is not in the normal form"},
};

class BadBpe : public testing::TestWithParam<BadBpeFile> {};
INSTANTIATE_TEST_SUITE_P(Table, BadBpe, testing::ValuesIn(kBadBpeFiles),
                         [](const auto& test) { return test.param.name; });

TEST_P(BadBpe, is_refused_with_file_and_reason) {
  BpeFile file = test::small_bpe_file({"a b"});
  GetParam().damage(file);
  try {
    check_bpe_file(file, "file");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    EXPECT_THAT(error.what(), testing::StartsWith("file: "));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().problem));
  }
}

}  // namespace
}  // namespace wkv::zoo
