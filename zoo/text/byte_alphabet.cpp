#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/code_points.h"

namespace wkv::zoo {
namespace {

constexpr std::size_t kAlphabetEnd = 0x100 + 68;  // 68 bytes are not visible
constexpr std::int16_t kNoByte = -1;

constexpr bool visible_in_latin1(std::size_t byte) {
  return (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
}

constexpr std::array<std::int16_t, kAlphabetEnd> kByteOfCharacter = [] {
  std::array<std::int16_t, kAlphabetEnd> bytes{};
  bytes.fill(kNoByte);
  std::size_t next = 0x100;
  for (std::size_t byte = 0; byte < 0x100; ++byte) {
    bytes[visible_in_latin1(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}();

}  // namespace

std::optional<std::string> bytes_of_alphabet(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const auto [c, length] = first_code_point(token);
    if (c >= kAlphabetEnd || kByteOfCharacter[c] == kNoByte) return std::nullopt;
    bytes += static_cast<char>(kByteOfCharacter[c]);
    token.remove_prefix(length);
  }
  return bytes;
}

}  // namespace wkv::zoo
