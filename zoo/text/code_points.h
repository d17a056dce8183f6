// The characters of well-formed UTF-8, one by one.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace wkv::zoo {

struct CodePoint {
  char32_t value;
  std::size_t length;  // in bytes
};

inline bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// text: well-formed, not empty.
inline CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const auto tail = [&](std::size_t i) { return byte(i) & 0x3F; };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | tail(1), 2};
  if (lead < 0xF0) return {(lead & 0xF) << 12 | tail(1) << 6 | tail(2), 3};
  return {(lead & 0x7) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4};
}

// code: any but a surrogate.
inline void append_code_point(std::string& text, char32_t code) {
  const auto append = [&](char32_t byte) { text += static_cast<char>(byte); };
  const auto append_tail = [&](int shift) { append(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xC0 | code >> 6);
    append_tail(0);
  } else if (code < 0x10000) {
    append(0xE0 | code >> 12);
    append_tail(6);
    append_tail(0);
  } else {
    append(0xF0 | code >> 18);
    append_tail(12);
    append_tail(6);
    append_tail(0);
  }
}

}  // namespace wkv::zoo
