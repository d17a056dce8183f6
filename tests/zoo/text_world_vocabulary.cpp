#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/world_vocabulary.h"
#include "text_tokenizer_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using test::single_byte_lines;
using testing::HasSubstr;

// The token of one line more after the single bytes.
std::string token_of(const std::string& line) {
  return parse_world_vocabulary(single_byte_lines() + line, "file").back();
}

TEST(WorldVocabulary, text_escapes_are_characters) {
  EXPECT_EQ(token_of(R"(257 '\n\t\r\\\'' 5)"), "\n\t\r\\'");
  EXPECT_EQ(token_of(R"(257 '\xa0\u20ac' 5)"), "\xC2\xA0\xE2\x82\xAC");
}

TEST(WorldVocabulary, byte_escapes_are_bytes) {
  EXPECT_EQ(token_of(R"(257 b'\xa0a' 2)"),
            "\xA0"
            "a");
}

TEST(WorldVocabulary, a_token_may_hold_spaces_and_the_other_quote) {
  EXPECT_EQ(token_of("257 ' a  b ' 6"), " a  b ");
  EXPECT_EQ(token_of("257 \"it's\" 4"), "it's");
  EXPECT_EQ(token_of("257 'say \"' 5"), "say \"");
}

TEST(WorldVocabulary, characters_may_stand_unescaped) { EXPECT_EQ(token_of("257 '\xE2\x82\xAC' 3"), "\xE2\x82\xAC"); }

TEST(WorldVocabulary, lines_may_end_in_crlf_and_the_last_one_in_nothing) {
  std::string file = single_byte_lines() + "257 'ab' 2\n258 'cd' 2";
  const auto expected = parse_world_vocabulary(file, "file");
  for (std::size_t at = 0; (at = file.find('\n', at)) != std::string::npos; at += 2) file.replace(at, 1, "\r\n");
  EXPECT_EQ(parse_world_vocabulary(file, "file"), expected);
}

struct BadLine {
  const char* name;
  std::string line;  // the 257th
  const char* problem;
};

const BadLine kBadLines[] = {
    {"empty", "\n", "expected `<id> <literal> <bytes>`"},
    {"no_count", "257 'ab'", "expected `<id> <literal> <bytes>`"},
    {"skipped_id", "258 'ab' 2", "expected the id 257"},
    {"signed_id", "+257 'ab' 2", "expected the id 257"},
    {"huge_id", "99999999999999999999999 'ab' 2", "expected the id 257"},
    {"wrong_count", "257 'ab' 3", "the token has 2 bytes"},
    {"count_with_tail", "257 'ab' 2x", "the token has 2 bytes"},
    {"no_quotes", "257 ab 2", "not a quoted literal"},
    {"one_quote", "257 ' 1", "not a quoted literal"},
    {"quotes_differ", "257 'ab\" 2", "not a quoted literal"},
    {"quote_inside", "257 'a'b' 3", "ends before"},
    {"cut_escape", "257 'ab\\' 2", "inside an escape"},
    {"unknown_escape", "257 'a\\q' 2", "unknown escape"},
    {"character_escape_in_bytes", "257 b'a\\u0041' 2", "unknown escape"},
    {"short_hexadecimal", "257 '\\x4' 1", "hexadecimal"},
    {"no_hexadecimal", "257 '\\xzz' 1", "hexadecimal"},
    {"signed_hexadecimal", "257 '\\u-123' 1", "hexadecimal"},
    {"surrogate", "257 '\\ud800' 3", "surrogate"},
    {"bytes_that_are_not_ascii", "257 b'\xC3\xA9' 2", "not printable ASCII"},
    {"not_utf8", "257 '\xFF' 1", "not UTF-8"},
    {"empty_token", "257 '' 0", "is empty"},
    {"known_token", "257 'a' 1", "the same as in line 98"},
};

class BadWorldVocabulary : public testing::TestWithParam<BadLine> {};
INSTANTIATE_TEST_SUITE_P(Table, BadWorldVocabulary, testing::ValuesIn(kBadLines),
                         [](const auto& test) { return test.param.name; });

TEST_P(BadWorldVocabulary, is_refused_with_file_line_and_reason) {
  try {
    token_of(GetParam().line);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    EXPECT_THAT(error.what(), testing::StartsWith("file: line 257: "));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().problem));
  }
}

TEST(WorldVocabulary, a_file_cut_before_all_bytes_are_tokens_is_refused) {
  const std::string whole = single_byte_lines();
  EXPECT_THROW(parse_world_vocabulary(whole.substr(0, whole.find("100 ")), "file"), Error);
  EXPECT_THROW(parse_world_vocabulary("", "file"), Error);
}

}  // namespace
}  // namespace wkv::zoo
