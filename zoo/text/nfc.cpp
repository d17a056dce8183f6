// The text is cut before each character that never meets those before it; each segment is decomposed, its marks are
// sorted, and it is composed again (Unicode standard, sections 3.11 and 3.12).
#include "text/nfc.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "text/code_points.h"
#include "text/unicode_tables.h"

namespace wkv::zoo {
namespace {

// Below it no character combines with others, and each is its own normal form.
constexpr char32_t kFirstMark = 0x300;

struct Hangul {
  static constexpr char32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTrails = 0x11A7;
  static constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTrailCount = 28;  // trail 0 is none
  static constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTrailCount;

  static bool is_syllable(char32_t c) { return c - kSyllables < kSyllableCount; }
  static bool joins_the_previous(char32_t c) { return c - kVowels < kVowelCount || c - kTrails - 1 < kTrailCount - 1; }
};

unsigned combining_class(char32_t c) {
  if (c < kFirstMark) return 0;
  const auto range = std::ranges::lower_bound(kCombiningRanges, c, {}, &CombiningRange::last);
  return range != kCombiningRanges.end() && range->first <= c ? range->combining_class : 0;
}

void append_decomposed(std::u32string& segment, char32_t c) {
  if (Hangul::is_syllable(c)) {
    const char32_t index = c - Hangul::kSyllables;
    segment += Hangul::kLeads + index / (Hangul::kVowelCount * Hangul::kTrailCount);
    segment += Hangul::kVowels + index / Hangul::kTrailCount % Hangul::kVowelCount;
    if (const char32_t trail = index % Hangul::kTrailCount; trail != 0) segment += Hangul::kTrails + trail;
    return;
  }
  const auto found = std::ranges::lower_bound(kDecompositions, c, {}, &Decomposition::code);
  if (found == kDecompositions.end() || found->code != c) {
    segment += c;
    return;
  }
  append_decomposed(segment, found->first);
  if (found->second != 0) append_decomposed(segment, found->second);
}

// The pairs that compose, by pair.
const std::vector<Decomposition>& compositions() {
  static const std::vector<Decomposition> sorted = [] {
    std::vector<Decomposition> pairs;
    std::ranges::copy_if(kDecompositions, std::back_inserter(pairs), &Decomposition::composes);
    std::ranges::sort(pairs, {}, [](const Decomposition& d) { return std::pair(d.first, d.second); });
    return pairs;
  }();
  return sorted;
}

// What the two become, or 0.
char32_t composite(char32_t first, char32_t second) {
  if (first - Hangul::kLeads < Hangul::kLeadCount && second - Hangul::kVowels < Hangul::kVowelCount) {
    return Hangul::kSyllables +
           ((first - Hangul::kLeads) * Hangul::kVowelCount + second - Hangul::kVowels) * Hangul::kTrailCount;
  }
  if (Hangul::is_syllable(first) && (first - Hangul::kSyllables) % Hangul::kTrailCount == 0 &&
      second - Hangul::kTrails - 1 < Hangul::kTrailCount - 1) {
    return first + (second - Hangul::kTrails);
  }
  const auto pair_of = [](const Decomposition& d) { return std::pair(d.first, d.second); };
  const auto found = std::ranges::lower_bound(compositions(), std::pair(first, second), {}, pair_of);
  return found != compositions().end() && pair_of(*found) == std::pair(first, second) ? found->code : 0;
}

// Whether no character before c, the first of a decomposition, can change places or compose with it.
bool begins_segment(char32_t c) {
  static const std::vector<char32_t> starters_that_compose = [] {
    std::vector<char32_t> codes;
    for (const Decomposition& d : compositions()) {
      if (combining_class(d.second) == 0) codes.push_back(d.second);
    }
    std::ranges::sort(codes);
    return codes;
  }();
  if (c < kFirstMark) return true;
  return combining_class(c) == 0 && !Hangul::joins_the_previous(c) &&
         !std::ranges::binary_search(starters_that_compose, c);
}

void sort_marks(std::u32string& segment) {
  const auto is_mark = [](char32_t c) { return combining_class(c) != 0; };
  for (auto begin = segment.begin(); begin != segment.end();) {
    begin = std::find_if(begin, segment.end(), is_mark);
    const auto end = std::find_if_not(begin, segment.end(), is_mark);
    std::ranges::stable_sort(begin, end, {}, combining_class);
    begin = end;
  }
}

void append_composed(std::string& text, std::u32string& segment) {
  if (segment.size() > 1) {
    sort_marks(segment);
    std::size_t kept = 0, starter = segment.size();  // segment[starter]: what marks compose with, if there is one yet
    unsigned last_class = 0;                         // of the marks kept after the starter
    for (const char32_t c : std::u32string(segment)) {
      const unsigned c_class = combining_class(c);
      if (starter < kept && (last_class == 0 || last_class < c_class)) {
        if (const char32_t joined = composite(segment[starter], c); joined != 0) {
          segment[starter] = joined;
          continue;
        }
      }
      if (c_class == 0) starter = kept;
      last_class = c_class;
      segment[kept++] = c;
    }
    segment.resize(kept);
  }
  for (const char32_t c : segment) append_code_point(text, c);
}

}  // namespace

std::string nfc(std::string_view text) {
  const auto below_first_mark = [](char byte) { return static_cast<unsigned char>(byte) < 0xCC; };
  if (std::ranges::all_of(text, below_first_mark)) return std::string(text);
  std::string result;
  result.reserve(text.size());
  std::u32string segment, decomposed;
  while (!text.empty()) {
    const auto [c, length] = first_code_point(text);
    text.remove_prefix(length);
    decomposed.clear();
    append_decomposed(decomposed, c);
    if (begins_segment(decomposed.front())) {
      append_composed(result, segment);
      segment.clear();
    }
    segment += decomposed;
  }
  append_composed(result, segment);
  return result;
}

}  // namespace wkv::zoo
