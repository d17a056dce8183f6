// Facts about characters and names as CLIP's published preprocessing knows them.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "text/unicode_tables.h"

namespace wkv::zoo {

// What CLIP's newer versions of Unicode have beyond the tables of unicode_tables.h.
extern const std::span<const CodeRange> kClipLaterLetters, kClipLaterNumbers;
extern const std::span<const CombiningRange> kClipLaterCombiningRanges;
extern const std::span<const Decomposition> kClipLaterDecompositions;

// Every step-th character from `first` to `last` becomes the one `shift` further on. Sorted, not overlapping.
struct ShiftedRange {
  char32_t first, last;
  std::uint32_t step;
  std::int32_t shift;
};
extern const std::span<const ShiftedRange> kClipLowerCase;  // but for U+0130, which becomes two characters
extern const std::span<const ShiftedRange>
    kClipWidths;  // full and half width to the usual one; but for U+FFE3, likewise

inline char32_t shifted(std::span<const ShiftedRange> ranges, char32_t c) {
  const auto range = std::ranges::lower_bound(ranges, c, {}, &ShiftedRange::last);
  const bool inside = range != ranges.end() && range->first <= c && (c - range->first) % range->step == 0;
  return inside ? c + static_cast<char32_t>(range->shift) : c;
}

// For the final sigma: letters with case, and what may stand between them and it.
extern const std::span<const CodeRange> kClipCased, kClipCaseIgnorable;

// A character reference of HTML by name: what `&name` stands for, and what the same name in capitals does where CLIP's
// preprocessing takes that for a reference, too (otherwise empty). Names end in ';' but for those that browsers know
// without it as well; sorted.
struct HtmlEntity {
  std::string_view name, text;
  std::string_view text_of_capitals = {};
};
extern const std::span<const HtmlEntity> kHtmlEntities;

}  // namespace wkv::zoo
