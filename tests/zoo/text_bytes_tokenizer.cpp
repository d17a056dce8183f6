#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text_tokenizer_cases.h"
#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {
namespace {

TEST(BytesTokenizer, a_token_is_a_byte) {
  EXPECT_THAT(load_tokenizer("bytes")->encode(std::string("a\0\xFF", 3)), testing::ElementsAre(97, 0, 255));
}

TEST(BytesTokenizer, decoding_gives_the_bytes_back) {
  const auto tokenizer = load_tokenizer("bytes");
  for (const auto& vector : test::tokenizer_vectors())
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(vector.bytes)), vector.bytes);
}

TEST(BytesTokenizer, has_256_tokens_and_none_that_ends_a_text) {
  EXPECT_EQ(load_tokenizer("bytes")->vocab_size(), 256);
  EXPECT_EQ(load_tokenizer("bytes")->end_of_text(), std::nullopt);
}

TEST(BytesTokenizer, a_row_is_the_text_and_zeros_or_its_beginning) {
  EXPECT_THAT(load_tokenizer("bytes")->encode_row("abc", 5), testing::ElementsAre(97, 98, 99, 0, 0));
  EXPECT_THAT(load_tokenizer("bytes")->encode_row("abc", 2), testing::ElementsAre(97, 98));
  EXPECT_THROW(load_tokenizer("bytes")->encode_row("abc", 0), Error);
}

TEST(BytesTokenizer, a_token_that_is_no_byte_is_refused) {
  EXPECT_THROW(load_tokenizer("bytes")->decode({256}), Error);
  EXPECT_THROW(load_tokenizer("bytes")->decode({-1}), Error);
}

}  // namespace
}  // namespace wkv::zoo
