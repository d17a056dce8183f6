#include "text/clip_words.h"

#include <cstdint>

#include "text/clip_tables.h"
#include "text/code_points.h"

namespace wkv::zoo {
namespace {

// Nothing: white space, and U+0345, which is of a letter by its case, but no letter.
enum class ClipClass : std::uint8_t { sign, letter, number, nothing };

ClipClass find_clip_class(char32_t c) {
  if (in_ranges(kLetters, c) || in_ranges(kClipLaterLetters, c)) return ClipClass::letter;
  if (in_ranges(kNumbers, c) || in_ranges(kClipLaterNumbers, c)) return ClipClass::number;
  return in_ranges(kSpaces, c) || c == 0x345 ? ClipClass::nothing : ClipClass::sign;
}

// U+017F, the long s, is an s to what does not look at case.
constexpr std::string_view kClipLiterals[] = {
    "<start_of_text>", "<\u017Ftart_of_text>", "<end_of_text>", "'s", "'\u017F", "'t", "'re", "'ve", "'m", "'ll", "'d"};

std::size_t clip_literal_length(std::string_view text) {
  for (const std::string_view literal : kClipLiterals) {
    if (text.starts_with(literal)) return literal.size();
  }
  return 0;
}

std::size_t clip_word_length(std::string_view text, CodePoint first, ClipClass kind) {
  if (const std::size_t length = clip_literal_length(text); length > 0) return length;
  std::size_t end = first.length;
  if (kind == ClipClass::number) return end;
  while (end < text.size()) {
    const auto [c, length] = first_code_point(text.substr(end));
    if (find_clip_class(c) != kind) break;
    end += length;
  }
  return end;
}

}  // namespace

std::string_view take_clip_word(std::string_view& text) {
  while (!text.empty()) {
    const CodePoint first = first_code_point(text);
    const ClipClass kind = find_clip_class(first.value);
    const bool is_word = kind != ClipClass::nothing;
    const std::string_view word = text.substr(0, is_word ? clip_word_length(text, first, kind) : first.length);
    text.remove_prefix(word.size());
    if (is_word) return word;
  }
  return {};
}

}  // namespace wkv::zoo
