// Well-formed UTF-8 is what table 3-7 of the Unicode standard lists: no overlong forms, no surrogates, nothing above
// U+10FFFF.
#include "wkv/zoo/utf8.h"

#include <cstddef>

namespace wkv::zoo {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

enum class Form { complete, incomplete, ill };

struct Utf8Sequence {
  Form form;
  std::size_t length;  // of the character, or of the maximal ill-formed subsequence
};

// The sequence that begins at bytes[0]; bytes is not empty.
Utf8Sequence first_sequence(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Form::complete, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Form::ill, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Only the second byte's range depends on the lead.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Form::incomplete, i};
    if (byte(i) < low || byte(i) > high) return {Form::ill, i};
    low = 0x80, high = 0xBF;
  }
  return {Form::complete, length};
}

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto [form, length] = first_sequence(bytes);
    if (form != Form::complete) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  Utf8Decoder decoder;
  std::string text = decoder.push(bytes);
  return text + decoder.flush();
}

std::string Utf8Decoder::push(std::string_view bytes) {
  pending_ += bytes;
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const auto [form, length] = first_sequence(rest);
    if (form == Form::incomplete) break;
    text += form == Form::complete ? rest.substr(0, length) : kReplacement;
    rest.remove_prefix(length);
  }
  pending_ = std::string(rest);
  return text;
}

std::string Utf8Decoder::flush() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? std::string(kReplacement) : std::string();
}

}  // namespace wkv::zoo
