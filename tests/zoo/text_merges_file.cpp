#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/merges_file.h"
#include "text_bpe_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// The single bytes, "ab" and "abc".
nlohmann::ordered_json small_vocabulary() {
  nlohmann::ordered_json ids;
  for (const auto& [token, id] : test::small_bpe_file({"a b", "ab c"}).tokens) ids[token] = id;
  return ids;
}

BpeVocabulary parse(const std::string& merges, const nlohmann::ordered_json& vocabulary = small_vocabulary()) {
  return parse_merges_file({merges, "merges.txt"}, {vocabulary.dump(), "vocab.json"});
}

TEST(MergesFile, a_line_is_a_merge) {
  const BpeVocabulary vocabulary = parse("a b\nab c\n");
  ASSERT_EQ(vocabulary.merges.size(), 2);
  EXPECT_EQ(vocabulary.merges[1].result, 257);
  EXPECT_FALSE(vocabulary.nfc);
}

TEST(MergesFile, the_first_line_may_tell_the_version) {
  EXPECT_EQ(parse("#version: 0.2\na b\n").merges.size(), 1);
  EXPECT_THROW(parse("a b\n#version: 0.2\n"), Error);
}

TEST(MergesFile, lines_may_end_in_crlf_and_the_last_one_in_nothing) {
  EXPECT_EQ(parse("#version: 0.2\r\na b\r\nab c").merges.size(), 2);
}

TEST(MergesFile, a_number_sign_may_be_merged) {
  nlohmann::ordered_json vocabulary = small_vocabulary();
  vocabulary["##"] = 258;
  EXPECT_EQ(parse("# #\n", vocabulary).merges.at(0).result, 258);
}

TEST(MergesFile, the_end_of_text_is_cut_out_where_the_vocabulary_has_it) {
  EXPECT_EQ(parse("").added.size(), 0);
  nlohmann::ordered_json vocabulary = small_vocabulary();
  vocabulary["<|endoftext|>"] = 258;
  ASSERT_EQ(parse("", vocabulary).added.size(), 1);
  EXPECT_EQ(parse("", vocabulary).added[0].id, 258);
}

struct BadMerges {
  const char* name;
  std::string merges, vocabulary;
  const char* problem;
};

const BadMerges kBadMerges[] = {
    {"empty_line", "a b\n\n", small_vocabulary().dump(),
     "merges.txt with vocab.json: the merge \"\" is not two tokens"},
    {"unknown_token", "a bc\n", small_vocabulary().dump(), "\"bc\", which is no token"},
    {"merges_not_utf8", "a \xFF\n", small_vocabulary().dump(), "merges.txt: not UTF-8"},
    {"merges_as_vocabulary", "a b\n", "a b\n", "vocab.json: "},
    {"vocabulary_not_utf8", "", "{\"\xFF\": 0}", "vocab.json: "},
    {"list_as_vocabulary", "", "[1]", "vocab.json: must be an object of ids by token"},
    {"number_as_vocabulary", "", "1", "vocab.json: must be an object of ids by token"},
    {"text_as_id", "", "{\"a\": \"0\"}", "vocab.json: must be an object of ids by token"},
    {"object_as_id", "", "{\"a\": {\"b\": 0}}", "vocab.json: must be an object of ids by token"},
    {"token_twice", "", "{\"a\": 0, \"a\": 1}", "twice"},
    {"empty_vocabulary", "", "{}", "no token for the byte 0x00"},
};

class BadMergesFile : public testing::TestWithParam<BadMerges> {};
INSTANTIATE_TEST_SUITE_P(Table, BadMergesFile, testing::ValuesIn(kBadMerges),
                         [](const auto& test) { return test.param.name; });

TEST_P(BadMergesFile, is_refused_with_file_and_reason) {
  try {
    parse_merges_file({GetParam().merges, "merges.txt"}, {GetParam().vocabulary, "vocab.json"});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().problem));
  }
}

}  // namespace
}  // namespace wkv::zoo
