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

std::pair<char32_t, char32_t> parts_of(const Decomposition& d) { return {d.first, d.second}; }

}  // namespace

NfcNormalizer::NfcNormalizer(std::vector<CombiningRange> marks, std::vector<Decomposition> decompositions)
    : marks_(std::move(marks)), decompositions_(std::move(decompositions)) {
  std::ranges::copy_if(decompositions_, std::back_inserter(compositions_), &Decomposition::composes);
  std::ranges::sort(compositions_, {}, parts_of);
  for (const Decomposition& d : compositions_) {
    if (combining_class(d.second) == 0) second_starters_.push_back(d.second);
  }
  std::ranges::sort(second_starters_);
}

unsigned NfcNormalizer::combining_class(char32_t c) const {
  if (c < kFirstMark) return 0;
  const auto range = std::ranges::lower_bound(marks_, c, {}, &CombiningRange::last);
  return range != marks_.end() && range->first <= c ? range->combining_class : 0;
}

void NfcNormalizer::append_decomposed(std::u32string& segment, char32_t c) const {
  if (Hangul::is_syllable(c)) {
    const char32_t index = c - Hangul::kSyllables;
    segment.push_back(Hangul::kLeads + index / (Hangul::kVowelCount * Hangul::kTrailCount));
    segment.push_back(Hangul::kVowels + index / Hangul::kTrailCount % Hangul::kVowelCount);
    if (const char32_t trail = index % Hangul::kTrailCount; trail != 0) segment.push_back(Hangul::kTrails + trail);
    return;
  }
  const auto found = std::ranges::lower_bound(decompositions_, c, {}, &Decomposition::code);
  if (found == decompositions_.end() || found->code != c) {
    segment += c;
    return;
  }
  append_decomposed(segment, found->first);
  if (found->second != 0) append_decomposed(segment, found->second);
}

// What the two become, or 0.
char32_t NfcNormalizer::composite(char32_t first, char32_t second) const {
  if (first - Hangul::kLeads < Hangul::kLeadCount && second - Hangul::kVowels < Hangul::kVowelCount) {
    return Hangul::kSyllables +
           ((first - Hangul::kLeads) * Hangul::kVowelCount + second - Hangul::kVowels) * Hangul::kTrailCount;
  }
  if (Hangul::is_syllable(first) && (first - Hangul::kSyllables) % Hangul::kTrailCount == 0 &&
      second - Hangul::kTrails - 1 < Hangul::kTrailCount - 1) {
    return first + (second - Hangul::kTrails);
  }
  const auto found = std::ranges::lower_bound(compositions_, std::pair(first, second), {}, parts_of);
  return found != compositions_.end() && parts_of(*found) == std::pair(first, second) ? found->code : 0;
}

// Whether no character before c, the first of a decomposition, can change places or compose with it.
bool NfcNormalizer::begins_segment(char32_t c) const {
  if (c < kFirstMark) return true;
  return combining_class(c) == 0 && !Hangul::joins_the_previous(c) && !std::ranges::binary_search(second_starters_, c);
}

void NfcNormalizer::sort_marks(std::u32string& segment) const {
  const auto class_of_mark = [this](char32_t c) { return combining_class(c); };
  const auto is_mark = [&](char32_t c) { return class_of_mark(c) != 0; };
  for (auto begin = segment.begin(); begin != segment.end();) {
    begin = std::find_if(begin, segment.end(), is_mark);
    const auto end = std::find_if_not(begin, segment.end(), is_mark);
    std::ranges::stable_sort(begin, end, {}, class_of_mark);
    begin = end;
  }
}

void NfcNormalizer::append_composed(std::string& text, std::u32string& segment) const {
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

std::string NfcNormalizer::operator()(std::string_view text) const {
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

std::string nfc(std::string_view text) {
  static const NfcNormalizer normalizer({kCombiningRanges.begin(), kCombiningRanges.end()},
                                        {kDecompositions.begin(), kDecompositions.end()});
  return normalizer(text);
}

}  // namespace wkv::zoo
