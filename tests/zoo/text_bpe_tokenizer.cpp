#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <thread>

#include "text/bpe_tokenizer.h"
#include "text_bpe_cases.h"
#include "text_tokenizer_cases.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;

constexpr int64_t kEnd = 257, kPadding = 258, kTwoSpaces = 259, kThreeSpaces = 260;

// Single bytes are 0..255, then come "ab" and the added tokens.
BpeTokenizer small_bpe(bool nfc) {
  BpeFile file = test::small_bpe_file({"a b"});
  file.added = {{"<|endoftext|>", kEnd, false},
                {"<|p|>", kPadding, false},
                {"  ", kTwoSpaces, true},
                {"   ", kThreeSpaces, true}};
  file.nfc = nfc;
  return BpeTokenizer(check_bpe_file(file, "file"));
}

TEST(BpeTokenizer, merges_stay_within_words) {
  EXPECT_THAT(small_bpe(false).encode("ab a b"), ElementsAre(256, ' ', 'a', ' ', 'b'));
}

TEST(BpeTokenizer, nothing_has_no_tokens) { EXPECT_THAT(small_bpe(true).encode(""), testing::IsEmpty()); }

TEST(BpeTokenizer, added_tokens_are_cut_out) {
  EXPECT_THAT(small_bpe(false).encode("a<|endoftext|>b<|p|><|p|>"), ElementsAre('a', kEnd, 'b', kPadding, kPadding));
}

TEST(BpeTokenizer, the_longest_added_token_goes_first) {
  EXPECT_THAT(small_bpe(false).encode("     "), ElementsAre(kThreeSpaces, kTwoSpaces));
}

TEST(BpeTokenizer, an_added_token_that_does_not_come_true_is_text) {
  EXPECT_THAT(small_bpe(false).encode("<|p|"), ElementsAre('<', '|', 'p', '|'));
}

TEST(BpeTokenizer, texts_are_normalised_where_the_vocabulary_says_so) {
  EXPECT_THAT(small_bpe(true).encode("e\u0301"), ElementsAre(0xC3, 0xA9));
  EXPECT_THAT(small_bpe(false).encode("e\u0301"), ElementsAre('e', 0xCC, 0x81));
}

// ">\u0338" alone would become U+226F.
TEST(BpeTokenizer, texts_are_not_normalised_across_added_tokens) {
  EXPECT_THAT(small_bpe(true).encode("<|p|>\u0338"), ElementsAre(kPadding, 0xCC, 0xB8));
}

TEST(BpeTokenizer, tokens_that_are_normalised_are_looked_for_in_the_normal_form) {
  BpeFile file = test::small_bpe_file({});
  file.added = {{"\u1E17", 256, true}, {"\u1E2F", 257, false}};
  file.nfc = true;
  const BpeTokenizer tokenizer(check_bpe_file(file, "file"));
  EXPECT_THAT(tokenizer.encode("e\u0304\u0301"), ElementsAre(256));
  EXPECT_THAT(tokenizer.encode("i\u0308\u0301\u1E2F"), ElementsAre(0xE1, 0xB8, 0xAF, 257));
}

TEST(BpeTokenizer, ill_formed_utf8_becomes_replacement_characters) {
  const BpeTokenizer tokenizer = small_bpe(true);
  EXPECT_EQ(tokenizer.encode("a\xFF\xF0\x9F\x98z\xE2\x82"), tokenizer.encode("a\uFFFD\uFFFDz\uFFFD"));
  EXPECT_EQ(tokenizer.encode("\xC3"), tokenizer.encode("\uFFFD"));
}

TEST(BpeTokenizer, decoding_gives_any_bytes) {
  EXPECT_EQ(small_bpe(false).decode({0xFF, 256, 0, kTwoSpaces, kPadding}), std::string("\xFF"
                                                                                       "ab\0  <|p|>",
                                                                                       11));
}

TEST(BpeTokenizer, the_end_of_a_text_has_no_bytes) {
  EXPECT_EQ(small_bpe(false).end_of_text(), kEnd);
  EXPECT_EQ(small_bpe(false).decode({'a', kEnd, 'b'}), "ab");
}

TEST(BpeTokenizer, a_vocabulary_may_have_no_end_of_text) {
  EXPECT_EQ(BpeTokenizer(check_bpe_file(test::small_bpe_file({}), "file")).end_of_text(), std::nullopt);
}

TEST(BpeTokenizer, a_token_outside_of_the_vocabulary_is_refused) {
  EXPECT_EQ(small_bpe(false).vocab_size(), 261);
  EXPECT_THROW(small_bpe(false).decode({261}), Error);
  EXPECT_THROW(small_bpe(false).decode({-1}), Error);
}

TEST(BpeTokenizer, is_named_by_its_pipeline) {
  EXPECT_EQ(small_bpe(true).name(), "gpt-neox-20b");
  EXPECT_EQ(small_bpe(false).name(), "gpt2");
}

struct PublishedBpeCase {
  const char* name;
  const char* file;
  std::vector<int64_t> test::TokenizerVector::*tokens;
  std::string test::TokenizerVector::*decoded;
  int64_t vocab_size, end_of_text;
};

const PublishedBpeCase kPublishedBpe[] = {
    {"neox20b", "20B_tokenizer.json", &test::TokenizerVector::neox20b, &test::TokenizerVector::neox20b_decoded, 50277,
     0},
    {"gpt2", "gpt2_merges.txt", &test::TokenizerVector::gpt2, &test::TokenizerVector::gpt2_decoded, 50257, 50256},
};

class PublishedBpe : public testing::TestWithParam<PublishedBpeCase> {
 protected:
  void SetUp() override {
    const auto path = test::shared("data/tokenizers") / GetParam().file;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    tokenizer_ = load_tokenizer(path.string());
    for (const auto& vector : test::tokenizer_vectors()) {
      if (vector.is_text) vectors_.push_back(vector);
    }
    ASSERT_EQ(vectors_.size(), 390);
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<test::TokenizerVector> vectors_;
};
INSTANTIATE_TEST_SUITE_P(Table, PublishedBpe, testing::ValuesIn(kPublishedBpe),
                         [](const auto& test) { return test.param.name; });

TEST_P(PublishedBpe, encodes_as_the_published_tokenizer) {
  for (const auto& vector : vectors_)
    EXPECT_EQ(tokenizer_->encode(vector.bytes), vector.*GetParam().tokens) << vector.bytes;
}

TEST_P(PublishedBpe, decodes_as_the_published_tokenizer_but_for_the_end_of_text) {
  for (const auto& vector : vectors_) {
    const std::string decoded = std::regex_replace(vector.*GetParam().decoded, std::regex("<\\|endoftext\\|>"), "");
    EXPECT_EQ(tokenizer_->decode(vector.*GetParam().tokens), decoded);
  }
}

TEST_P(PublishedBpe, has_the_published_vocabulary) {
  EXPECT_EQ(tokenizer_->vocab_size(), GetParam().vocab_size);
  EXPECT_EQ(tokenizer_->end_of_text(), GetParam().end_of_text);
}

TEST_P(PublishedBpe, bytes_that_are_no_text_are_encoded_with_replacements) {
  for (const auto& vector : test::tokenizer_vectors()) {
    if (vector.is_text) continue;
    Utf8Decoder utf8;
    std::string text = utf8.push(vector.bytes);
    text += utf8.flush();
    EXPECT_EQ(tokenizer_->encode(vector.bytes), tokenizer_->encode(text));
  }
}

TEST_P(PublishedBpe, may_be_used_by_many_threads) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (const auto& vector : vectors_) count += tokenizer_->encode(vector.bytes) != vector.*GetParam().tokens;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

}  // namespace
}  // namespace wkv::zoo
