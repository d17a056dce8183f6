// Normalization form C of Unicode: characters composed, marks in canonical order.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode_tables.h"
#include "wkv/export.h"

namespace wkv::zoo {

// As one version of Unicode knows it.
class WKV_API NfcNormalizer {
 public:
  // Both sorted, as in unicode_tables.h.
  NfcNormalizer(std::vector<CombiningRange> marks, std::vector<Decomposition> decompositions);

  // text: well-formed UTF-8. Takes O(n log n) whatever the text.
  std::string operator()(std::string_view text) const;

 private:
  unsigned combining_class(char32_t c) const;
  void append_decomposed(std::u32string& segment, char32_t c) const;
  char32_t composite(char32_t first, char32_t second) const;
  bool begins_segment(char32_t c) const;
  void sort_marks(std::u32string& segment) const;
  void append_composed(std::string& text, std::u32string& segment) const;

  std::vector<CombiningRange> marks_;
  std::vector<Decomposition> decompositions_;
  std::vector<Decomposition> compositions_;  // the pairs that compose, by pair
  std::vector<char32_t> second_starters_;    // no marks, but compose with what is before them; sorted
};

// As gpt-neox-20b knows it.
WKV_API std::string nfc(std::string_view text);

}  // namespace wkv::zoo
