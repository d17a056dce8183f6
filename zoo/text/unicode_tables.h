// Facts about characters as the published tokenizers know them: their version of Unicode, not the newest.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

namespace wkv::zoo {

// Ranges are inclusive, sorted, and do not overlap.
struct CodeRange {
  char32_t first, last;
};
extern const std::span<const CodeRange> kLetters, kNumbers, kSpaces;  // \p{L}, \p{N}, \s

inline bool in_ranges(std::span<const CodeRange> ranges, char32_t c) {
  const auto range = std::ranges::lower_bound(ranges, c, {}, &CodeRange::last);
  return range != ranges.end() && range->first <= c;
}

struct CombiningRange {
  char32_t first, last;
  std::uint8_t combining_class;
};
extern const std::span<const CombiningRange> kCombiningRanges;  // a character in none of them has class 0

// Canonical, of one level, sorted by code; Hangul syllables follow a rule and are not in it.
struct Decomposition {
  char32_t code, first, second;  // second 0: a single character
  bool composes;                 // NFC puts first and second together again
};
extern const std::span<const Decomposition> kDecompositions;

}  // namespace wkv::zoo
