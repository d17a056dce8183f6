#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/world_tokenizer.h"
#include "text/world_vocabulary.h"
#include "text_tokenizer_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::ElementsAre;

// Single bytes are 1..256; 257 "ab", 258 "abcd", 259 "bc", 260 "cd".
WorldTokenizer small_world() {
  return WorldTokenizer(parse_world_vocabulary(
      test::single_byte_lines() + "257 'ab' 2\n258 'abcd' 4\n259 'bc' 2\n260 'cd' 2\n", "small"));
}

constexpr int64_t token_of_byte(unsigned char byte) { return byte + 1; }

TEST(WorldTokenizer, the_longest_token_is_taken) { EXPECT_THAT(small_world().encode("abcd"), ElementsAre(258)); }

TEST(WorldTokenizer, a_longer_token_that_does_not_come_true_leaves_the_shorter_one) {
  EXPECT_THAT(small_world().encode("abce"), ElementsAre(257, token_of_byte('c'), token_of_byte('e')));
  EXPECT_THAT(small_world().encode("abc"), ElementsAre(257, token_of_byte('c')));
}

TEST(WorldTokenizer, looks_from_left_to_right_and_never_back) {
  EXPECT_THAT(small_world().encode("bcd"), ElementsAre(259, token_of_byte('d')));
}

TEST(WorldTokenizer, any_bytes_can_be_encoded) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(small_world().decode(small_world().encode(bytes)), bytes);
}

TEST(WorldTokenizer, makes_no_rows_of_one_length) {
  EXPECT_THAT([] { small_world().encode_row("ab", 5); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("tokenizer world: makes no rows")));
}

TEST(WorldTokenizer, nothing_has_no_tokens) { EXPECT_THAT(small_world().encode(""), testing::IsEmpty()); }

TEST(WorldTokenizer, token_0_ends_a_text_and_has_no_bytes) {
  EXPECT_EQ(small_world().end_of_text(), 0);
  EXPECT_EQ(small_world().decode({257, 0, 260}), "abcd");
}

TEST(WorldTokenizer, a_token_outside_of_the_vocabulary_is_refused) {
  EXPECT_EQ(small_world().vocab_size(), 261);
  EXPECT_THROW(small_world().decode({261}), Error);
  EXPECT_THROW(small_world().decode({-1}), Error);
}

class PublishedWorld : public testing::Test {
 protected:
  void SetUp() override {
    const auto path = test::shared("data/tokenizers/rwkv_vocab_v20230424.txt");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    tokenizer_ = load_tokenizer(path.string());
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_F(PublishedWorld, encodes_as_the_published_tokenizer) {
  ASSERT_EQ(test::tokenizer_vectors().size(), 440);
  for (const auto& vector : test::tokenizer_vectors())
    EXPECT_EQ(tokenizer_->encode(vector.bytes), vector.world) << vector.bytes;
}

TEST_F(PublishedWorld, decoding_gives_the_bytes_back) {
  for (const auto& vector : test::tokenizer_vectors()) EXPECT_EQ(tokenizer_->decode(vector.world), vector.bytes);
}

TEST_F(PublishedWorld, has_65530_tokens_and_refuses_the_padding_of_a_models_head) {
  EXPECT_EQ(tokenizer_->vocab_size(), 65530);
  EXPECT_EQ(tokenizer_->decode({65529}), std::string(128, ' '));
  EXPECT_THROW(tokenizer_->decode({65530}), Error);
}

}  // namespace
}  // namespace wkv::zoo
