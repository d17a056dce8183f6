#include "text/split_words.h"

#include <array>

#include "text/code_points.h"
#include "text/unicode_tables.h"

namespace wkv::zoo {
namespace {

enum class CharacterClass : std::uint8_t { other, letter, number, space };

CharacterClass find_class(char32_t c) {
  if (in_ranges(kLetters, c)) return CharacterClass::letter;
  if (in_ranges(kNumbers, c)) return CharacterClass::number;
  return in_ranges(kSpaces, c) ? CharacterClass::space : CharacterClass::other;
}

CharacterClass class_of(char32_t c) {
  static const std::array<CharacterClass, 128> ascii = [] {
    std::array<CharacterClass, 128> classes{};
    for (char32_t code = 0; code < 128; ++code) classes[code] = find_class(code);
    return classes;
  }();
  return c < 128 ? ascii[c] : find_class(c);
}

struct ClassRun {
  std::size_t end;   // behind its last character
  std::size_t last;  // where that begins
};

// The longest run of characters of this class from `begin`.
ClassRun class_run(std::string_view text, std::size_t begin, CharacterClass kind) {
  ClassRun run{begin, begin};
  while (run.end < text.size()) {
    const auto [c, length] = first_code_point(text.substr(run.end));
    if (class_of(c) != kind) break;
    run.last = run.end;
    run.end += length;
  }
  return run;
}

std::size_t contraction(std::string_view text) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(ending)) return ending.size();
  }
  return 0;
}

}  // namespace

std::size_t first_word(std::string_view text) {
  if (text[0] == '\'') {
    if (const std::size_t length = contraction(text); length > 0) return length;
  }
  const std::size_t begin = text[0] == ' ' ? 1 : 0;  // one space joins the word that follows
  if (begin < text.size()) {
    const CharacterClass kind = class_of(first_code_point(text.substr(begin)).value);
    if (kind != CharacterClass::space) return class_run(text, begin, kind).end;
  }
  // Before a word the last space is not of this run, unless it is the only one.
  const ClassRun run = class_run(text, 0, CharacterClass::space);
  return run.end == text.size() || run.last == 0 ? run.end : run.last;
}

}  // namespace wkv::zoo
