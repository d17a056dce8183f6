#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/data.h"
#include "text/clip_tokenizer.h"
#include "text/clip_vocabulary.h"
#include "text_clip_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kStartId = 49406, kEndId = 49407;

// Single bytes are 0..255 and, at the end of a word, 256..511; then come "ab", "ab</w>" and "aba".
const ClipTokenizer& small_clip() {
  static const ClipTokenizer tokenizer(
      parse_clip_vocabulary(test::clip_merges_file({"a b", "a b</w>", "ab a"}), "merges"));
  return tokenizer;
}

int64_t byte_id(char byte) { return byte - '!'; }
int64_t last_byte_id(char byte) { return byte - '!' + 256; }

TEST(ClipTokenizer, a_words_last_token_is_another_one) {
  EXPECT_THAT(small_clip().encode("xx"), ElementsAre(byte_id('x'), last_byte_id('x')));
  EXPECT_THAT(small_clip().encode("x x"), ElementsAre(last_byte_id('x'), last_byte_id('x')));
}

TEST(ClipTokenizer, merges_stay_within_words) {
  EXPECT_THAT(small_clip().encode("abax ab a"), ElementsAre(514, last_byte_id('x'), 513, last_byte_id('a')));
}

TEST(ClipTokenizer, nothing_has_no_tokens) { EXPECT_THAT(small_clip().encode(" \n"), IsEmpty()); }

TEST(ClipTokenizer, the_names_of_start_and_end_are_their_tokens) {
  EXPECT_THAT(small_clip().encode("<start_of_text>ab<END_OF_TEXT>"), ElementsAre(kStartId, 513, kEndId));
  EXPECT_EQ(small_clip().encode("!<end_of_text>").size(), std::string("!<end_of_text>").size());
}

TEST(ClipTokenizer, a_name_with_a_long_s_is_text) {
  EXPECT_EQ(small_clip().encode("<\u017Ftart_of_text>").size(), std::string("<\u017Ftart_of_text>").size());
}

TEST(ClipTokenizer, ill_formed_utf8_becomes_replacement_characters) {
  EXPECT_EQ(small_clip().encode("a\xFF\xF0\x9F\x98z\xE2\x82"), small_clip().encode("a\uFFFD\uFFFDz\uFFFD"));
}

TEST(ClipTokenizer, a_row_has_start_and_end_and_zeros) {
  EXPECT_THAT(small_clip().encode_row("ab", 5), ElementsAre(kStartId, 513, kEndId, 0, 0));
  EXPECT_THAT(small_clip().encode_row("", 3), ElementsAre(kStartId, kEndId, 0));
  EXPECT_THAT(small_clip().encode_row("ab ab", 4), ElementsAre(kStartId, 513, 513, kEndId));
}

TEST(ClipTokenizer, a_row_that_is_too_short_is_cut_before_its_end) {
  EXPECT_THAT(small_clip().encode_row("ab ab ab", 4), ElementsAre(kStartId, 513, 513, kEndId));
  EXPECT_THAT(small_clip().encode_row("ab", 2), ElementsAre(kStartId, kEndId));
}

TEST(ClipTokenizer, a_row_of_less_than_start_and_end_is_refused) {
  for (const int64_t length : {1, 0, -1}) EXPECT_THROW(small_clip().encode_row("ab", length), Error) << length;
}

TEST(ClipTokenizer, decoding_puts_a_space_behind_each_word) {
  EXPECT_EQ(small_clip().decode(small_clip().encode("ABA ab!")), "aba ab ! ");
}

TEST(ClipTokenizer, decoding_gives_well_formed_text) { EXPECT_EQ(small_clip().decode({94, byte_id('a')}), "\uFFFDa"); }

TEST(ClipTokenizer, decoding_names_start_and_end) {
  EXPECT_EQ(small_clip().decode({kStartId, 513, kEndId}), "<start_of_text>ab <end_of_text>");
}

TEST(ClipTokenizer, a_token_outside_of_the_vocabulary_is_refused) {
  EXPECT_THROW(small_clip().decode({49408}), Error);
  EXPECT_THROW(small_clip().decode({-1}), Error);
}

TEST(ClipTokenizer, has_a_name_a_size_and_an_end) {
  EXPECT_EQ(small_clip().name(), "clip");
  EXPECT_EQ(small_clip().vocab_size(), 49408);
  EXPECT_EQ(small_clip().end_of_text(), kEndId);
}

// What takes time by the square of the length would take minutes for these.
TEST(ClipTokenizerTime, a_long_text_takes_seconds) {
  for (const std::string part : {"ab", "!", "\u0301", "&amp;", "amp;", "&#5", "\u03A3'", "\x1B[1", "&", " "}) {
    std::string text = "&";
    while (text.size() < 300'000) text += part;
    text += ";";
    EXPECT_EQ(small_clip().encode_row(text, 2).size(), 2) << part;
  }
}

struct ClipVector {
  std::string text;
  std::vector<int64_t> ids, row;
  std::string decoded;
};

class PublishedClip : public testing::Test {
 protected:
  void SetUp() override {
    const auto path = test::shared("data/tokenizers/bpe_simple_vocab_16e6.txt.gz");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    tokenizer_ = load_tokenizer(path.string());
    std::ifstream file(test::data("clip_tokenizer/vectors.json"));
    const auto document = nlohmann::json::parse(file);
    for (const auto& entry : document.at("vectors")) {
      ClipVector vector{entry.at("text"), entry.at("ids"), entry.at("tokenized_77"), entry.at("decoded")};
      vector.row.resize(77);
      (entry.at("needs_mojibake_repair") ? of_wrong_encoding_ : vectors_).push_back(std::move(vector));
    }
    ASSERT_EQ(vectors_.size(), 246);
    ASSERT_EQ(of_wrong_encoding_.size(), 16);
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<ClipVector> vectors_;
  std::vector<ClipVector> of_wrong_encoding_;  // text that the published tokenizer repairs before
};

TEST_F(PublishedClip, encodes_as_the_published_tokenizer) {
  for (const ClipVector& vector : vectors_) EXPECT_EQ(tokenizer_->encode(vector.text), vector.ids) << vector.text;
}

TEST_F(PublishedClip, makes_the_published_rows) {
  for (const ClipVector& vector : vectors_)
    EXPECT_EQ(tokenizer_->encode_row(vector.text, 77), vector.row) << vector.text;
}

TEST_F(PublishedClip, decodes_as_the_published_tokenizer) {
  for (const auto* vectors : {&vectors_, &of_wrong_encoding_}) {
    for (const ClipVector& vector : *vectors) EXPECT_EQ(tokenizer_->decode(vector.ids), vector.decoded);
  }
}

TEST_F(PublishedClip, does_not_repair_text_of_a_wrong_encoding) {
  for (const ClipVector& vector : of_wrong_encoding_)
    EXPECT_NE(tokenizer_->encode(vector.text), vector.ids) << vector.text;
}

TEST_F(PublishedClip, may_be_used_by_many_threads) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (const ClipVector& vector : vectors_) count += tokenizer_->encode(vector.text) != vector.ids;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

}  // namespace
}  // namespace wkv::zoo
