#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/clip_vocabulary.h"
#include "text_clip_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

std::string clip_vocabulary_error(const std::vector<std::string>& merges) {
  try {
    parse_clip_vocabulary(test::clip_merges_file(merges), "merges.gz");
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ClipVocabulary, is_bytes_and_merges_and_two_names) {
  const BpeVocabulary vocabulary = parse_clip_vocabulary(test::clip_merges_file({"a b", "ab c</w>"}), "merges.gz");
  ASSERT_EQ(vocabulary.tokens.size(), 49408);
  EXPECT_EQ(vocabulary.tokens[0], "!");
  EXPECT_EQ(vocabulary.tokens[256], "!</w>");
  EXPECT_EQ(vocabulary.tokens[512], "ab");
  EXPECT_EQ(vocabulary.tokens[513], "abc</w>");
  EXPECT_EQ(vocabulary.tokens[49406], "<start_of_text>");
  EXPECT_EQ(vocabulary.tokens[49407], "<end_of_text>");
}

TEST(ClipVocabulary, has_the_visible_bytes_first) {
  const BpeVocabulary vocabulary = parse_clip_vocabulary(test::clip_merges_file({}), "merges.gz");
  EXPECT_EQ(vocabulary.single_bytes['!'], 0);
  EXPECT_EQ(vocabulary.single_bytes['~'], 93);
  EXPECT_EQ(vocabulary.single_bytes[0xA1], 94);
  EXPECT_EQ(vocabulary.single_bytes[0xFF], 187);
  EXPECT_EQ(vocabulary.single_bytes[0], 188);
  EXPECT_EQ(vocabulary.single_bytes[0xAD], 255);
}

TEST(ClipVocabulary, lines_may_end_as_on_windows) {
  std::string file = test::clip_merges_file({"a b"});
  for (std::size_t at = 0; (at = file.find('\n', at)) != std::string::npos; at += 2) file.insert(at, "\r");
  EXPECT_EQ(parse_clip_vocabulary(file, "merges.gz").tokens[512], "ab");
}

TEST(ClipVocabulary, what_follows_the_merges_is_not_read) {
  EXPECT_NO_THROW(parse_clip_vocabulary(test::clip_merges_file({}) + "any thing at all\n", "merges.gz"));
}

TEST(ClipVocabulary, refuses_a_merge_of_what_is_not_known_yet) {
  for (const char* line : {"ab c", "a  b", "a", "", "a b c", "<start_of_text> a", "\xFF\xFE a"}) {
    EXPECT_THAT(clip_vocabulary_error({"x y", line, "a b"}), HasSubstr("merges.gz: line 3: expected two tokens"))
        << line;
  }
}

TEST(ClipVocabulary, refuses_a_token_that_comes_twice) {
  EXPECT_EQ(clip_vocabulary_error({"a b", "a b"}), "merges.gz: line 3: the token that \"a b\" gives is known already");
  EXPECT_THAT(clip_vocabulary_error({"a b", "b c", "ab c", "a bc"}), HasSubstr("merges.gz: line 5: the token that"));
}

TEST(ClipVocabulary, refuses_too_few_merges) {
  for (const auto& [file, merges] : {std::pair("", 0), {"header\n", 0}, {"header\na b\nb c\n", 2}}) {
    EXPECT_THROW(
        {
          try {
            parse_clip_vocabulary(file, "merges.gz");
          } catch (const Error& error) {
            EXPECT_EQ(error.what(), fmt::format("merges.gz: {} merges, CLIP's vocabulary is made from 48894", merges));
            throw;
          }
        },
        Error);
  }
}

}  // namespace
}  // namespace wkv::zoo
