#include "text/html_entities.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "text/byte_trie.h"
#include "text/clip_tables.h"
#include "text/code_points.h"

namespace wkv::zoo {
namespace {

constexpr std::size_t kMaxStrictLength = 24;  // between "&" or "&#" and ";"

// The bytes that have no character in Windows-1252 stand for themselves.
constexpr std::array<char32_t, 32> kWindows1252 = {
    0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6,  0x2030, 0x160,
    0x2039, 0x152,  0x8D,   0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178,
};

// What begins after an '&'.
struct Reference {
  std::string text;    // what it stands for
  std::size_t length;  // in the source
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The value of a hexadecimal digit, or 16.
unsigned digit_value(char c) {
  if (is_digit(c)) return static_cast<unsigned>(c - '0');
  const char small = static_cast<char>(c | 0x20);
  return small >= 'a' && small <= 'f' ? static_cast<unsigned>(small - 'a' + 10) : 16;
}

std::string text_of_number(char32_t number) {
  const bool is_space = number >= '\t' && number <= '\r' && number != '\v';
  const bool is_control = (number < ' ' && !is_space) || number == 0x7F;
  const bool is_noncharacter = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  char32_t c = number;
  if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF) {
    c = 0xFFFD;
  } else if (number >= 0x80 && number <= 0x9F) {
    c = from_windows_1252(number);
  } else if (is_control || is_noncharacter) {
    return "";
  }
  std::string text;
  append_code_point(text, c);
  return text;
}

// after_sign: the text after "&#".
std::optional<Reference> numeric_reference(std::string_view after_sign) {
  const bool hexadecimal = after_sign.starts_with('x') || after_sign.starts_with('X');
  const unsigned base = hexadecimal ? 16 : 10;
  const std::size_t begin = hexadecimal ? 1 : 0;
  std::size_t end = begin;
  char32_t number = 0;
  for (; end < after_sign.size() && digit_value(after_sign[end]) < base; ++end) {
    number = std::min<char32_t>(number * base + digit_value(after_sign[end]), 0x110000);
  }
  if (end == begin) return std::nullopt;
  if (after_sign.substr(end).starts_with(';')) ++end;
  return Reference{text_of_number(number), 1 + end};
}

std::optional<Reference> browsers_reference(std::string_view after) {
  static const ByteTrie names = [] {
    std::vector<std::string> all;
    for (const HtmlEntity& entity : kHtmlEntities) all.emplace_back(entity.name);
    return ByteTrie(all);
  }();
  if (after.starts_with('#')) return numeric_reference(after.substr(1));
  const auto [length, index] = names.longest_prefix(after);
  if (length == 0) return std::nullopt;
  return Reference{std::string(kHtmlEntities[static_cast<std::size_t>(index)].text), length};
}

// By the name with its ';'.
const std::unordered_map<std::string, std::string_view>& strict_entities() {
  static const std::unordered_map<std::string, std::string_view> texts = [] {
    std::unordered_map<std::string, std::string_view> result;
    for (const auto& [name, text, text_of_capitals] : kHtmlEntities) {
      if (!name.ends_with(';')) continue;
      result.emplace(name, text);
      if (text_of_capitals.empty()) continue;
      std::string capitals(name);
      for (char& c : capitals) c = static_cast<char>(is_ascii_letter(c) ? c & ~0x20 : c);
      result.emplace(capitals, text_of_capitals);
    }
    return result;
  }();
  return texts;
}

std::optional<Reference> strict_reference(std::string_view after) {
  const bool numeric = after.starts_with('#');
  const std::size_t begin = numeric ? 1 : 0;
  std::size_t end = begin;
  while (end < after.size() && end - begin <= kMaxStrictLength &&
         (is_digit(after[end]) || is_ascii_letter(after[end]))) {
    ++end;
  }
  if (end == begin || end - begin > kMaxStrictLength || !after.substr(end).starts_with(';')) return std::nullopt;
  ++end;
  if (numeric) {
    auto reference = numeric_reference(after.substr(1));
    const bool is_strict = reference && reference->length == end && reference->text != ";";
    return is_strict ? reference : std::nullopt;
  }
  const auto found = strict_entities().find(std::string(after.substr(0, end)));
  if (found == strict_entities().end()) return std::nullopt;
  return Reference{std::string(found->second), end};
}

std::string replace_references(std::string_view text, std::optional<Reference> (*reference_at)(std::string_view)) {
  std::string result;
  while (true) {
    const std::size_t ampersand = text.find('&');
    result += text.substr(0, ampersand);
    if (ampersand == std::string_view::npos) return result;
    text.remove_prefix(ampersand + 1);
    if (const auto reference = reference_at(text)) {
      result += reference->text;
      text.remove_prefix(reference->length);
    } else {
      result += '&';
    }
  }
}

}  // namespace

std::string unescape_html(std::string_view text) { return replace_references(text, browsers_reference); }

std::string unescape_html_strictly(std::string_view text) { return replace_references(text, strict_reference); }

char32_t from_windows_1252(char32_t c) { return kWindows1252[c - 0x80]; }

}  // namespace wkv::zoo
