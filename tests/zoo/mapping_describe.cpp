#include <gtest/gtest.h>

#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

TEST(GuessTokenizer, knows_the_sizes_of_vocabularies_and_of_their_padded_heads) {
  EXPECT_EQ(guess_tokenizer(256), "bytes");
  EXPECT_EQ(guess_tokenizer(65536), "world");
  EXPECT_EQ(guess_tokenizer(49408), "clip");
  for (const int64_t size : {50277, 50304, 50432}) EXPECT_EQ(guess_tokenizer(size), "gpt-neox-20b") << size;
  for (const int64_t size : {50257, 50264}) EXPECT_EQ(guess_tokenizer(size), "gpt2") << size;
}

TEST(GuessTokenizer, has_no_name_for_another_size) { EXPECT_EQ(guess_tokenizer(1000), ""); }

}  // namespace
}  // namespace wkv::zoo
