#include <gtest/gtest.h>

#include "text/byte_alphabet.h"
#include "text_bpe_cases.h"

namespace wkv::zoo {
namespace {

TEST(ByteAlphabet, visible_bytes_stand_for_themselves) {
  EXPECT_EQ(bytes_of_alphabet("!aZ~\u00A1\u00FF"), "!aZ~\xA1\xFF");
}

TEST(ByteAlphabet, the_others_follow_one_another_from_u0100) {
  EXPECT_EQ(bytes_of_alphabet("\u0120\u010A\u0121\u0143"), " \n\x7F\xAD");
}

TEST(ByteAlphabet, every_byte_has_a_character) {
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(bytes_of_alphabet(test::alphabet_character(byte)), std::string(1, static_cast<char>(byte))) << byte;
}

TEST(ByteAlphabet, other_characters_stand_for_no_byte) {
  for (const char* token : {" ", "a\n", "\u00A0", "\u00AD", "\u0144", "\u4E00", "\U0001F600"})
    EXPECT_EQ(bytes_of_alphabet(token), std::nullopt) << token;
}

}  // namespace
}  // namespace wkv::zoo
