#include <gtest/gtest.h>

#include <string>

#include "io/crc32.h"

namespace wkv::test {
namespace {

uint32_t crc32_of(const std::string& text) { return zoo::crc32(std::as_bytes(std::span(text))); }

// The definition, bit by bit.
uint32_t slow_crc32(const std::string& text) {
  uint32_t crc = ~0u;
  for (const char c : text) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

}  // namespace

TEST(Crc32, has_the_published_check_value) { EXPECT_EQ(crc32_of("123456789"), 0xCBF43926u); }

TEST(Crc32, agrees_with_its_definition_at_every_length) {
  std::string text;
  for (int length = 0; length < 300; ++length, text += static_cast<char>(length * 37))
    EXPECT_EQ(crc32_of(text), slow_crc32(text)) << length;
}

}  // namespace wkv::test
