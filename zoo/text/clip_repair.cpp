#include "text/clip_repair.h"

#include <algorithm>

#include "text/clip_tables.h"
#include "text/code_points.h"
#include "text/html_entities.h"
#include "text/nfc.h"

namespace wkv::zoo {
namespace {

constexpr int kMaxRepairs = 64;

struct Ligature {
  char32_t code;
  std::u32string_view letters;
};
constexpr Ligature kLigatures[] = {
    {0x132, U"IJ"},       {0x133, U"ij"},  {0x149, U"\u02BCn"}, {0x1C4, U"D\u017D"}, {0x1C5, U"D\u017E"},
    {0x1C6, U"d\u017E"},  {0x1C7, U"LJ"},  {0x1C8, U"Lj"},      {0x1C9, U"lj"},      {0x1CA, U"NJ"},
    {0x1CB, U"Nj"},       {0x1CC, U"nj"},  {0x1F1, U"DZ"},      {0x1F2, U"Dz"},      {0x1F3, U"dz"},
    {0xFB00, U"ff"},      {0xFB01, U"fi"}, {0xFB02, U"fl"},     {0xFB03, U"ffi"},    {0xFB04, U"ffl"},
    {0xFB05, U"\u017Ft"}, {0xFB06, U"st"},
};

// Control characters that are no white space, and some that formats have for themselves.
constexpr CodeRange kRemoved[] = {{0x0, 0x8},       {0xB, 0xB},       {0xE, 0x1F},     {0x7F, 0x7F},
                                  {0x206A, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFC}};

constexpr char32_t kFullWidthMacron = 0xFFE3;

// c: no ligature.
void append_usual_width(std::string& text, char32_t c) {
  if (c == kFullWidthMacron) {
    text += " \u0304";
    return;
  }
  c = shifted(kClipWidths, c);
  const bool double_quote = c >= 0x201C && c <= 0x201F;
  const bool single_quote = c == 0x2BC || (c >= 0x2018 && c <= 0x201B);
  append_code_point(text, double_quote ? U'"' : single_quote ? U'\'' : c);
}

std::string usual_characters(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const auto [code, length] = first_code_point(text);
    text.remove_prefix(length);
    const char32_t c = code >= 0x80 && code <= 0x9F ? from_windows_1252(code) : code;
    const auto ligature = std::ranges::lower_bound(kLigatures, c, {}, &Ligature::code);
    if (ligature != std::ranges::end(kLigatures) && ligature->code == c) {
      for (const char32_t letter : ligature->letters) append_usual_width(result, letter);
    } else {
      append_usual_width(result, c);
    }
  }
  return result;
}

// The length of `ESC [ digits and semicolons, letter` at the beginning, or 0.
std::size_t terminal_escape(std::string_view text) {
  if (!text.starts_with("\x1B[")) return 0;
  const std::size_t end = text.find_first_not_of("0123456789;", 2);
  if (end == std::string_view::npos) return 0;
  return is_ascii_letter(text[end]) ? end + 1 : 0;
}

std::string without_control_characters(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = terminal_escape(text);
    if (length == 0) {
      const CodePoint c = first_code_point(text);
      length = c.length;
      if (!in_ranges(kRemoved, c.value)) result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string clip_nfc(std::string_view text) {
  static const NfcNormalizer normalizer = [] {
    std::vector<CombiningRange> marks(kCombiningRanges.begin(), kCombiningRanges.end());
    marks.insert(marks.end(), kClipLaterCombiningRanges.begin(), kClipLaterCombiningRanges.end());
    std::ranges::sort(marks, {}, &CombiningRange::first);
    std::vector<Decomposition> decompositions(kDecompositions.begin(), kDecompositions.end());
    decompositions.insert(decompositions.end(), kClipLaterDecompositions.begin(), kClipLaterDecompositions.end());
    std::ranges::sort(decompositions, {}, &Decomposition::code);
    return NfcNormalizer(std::move(marks), std::move(decompositions));
  }();
  return normalizer(text);
}

std::string repair_line(std::string_view line, bool has_references) {
  std::string text(line);
  for (int i = 0; i < kMaxRepairs; ++i) {
    std::string repaired =
        clip_nfc(without_control_characters(usual_characters(has_references ? unescape_html_strictly(text) : text)));
    if (repaired == text) break;
    text = std::move(repaired);
  }
  return text;
}

}  // namespace

std::string repair_clip_text(std::string_view text) {
  const std::size_t html = text.find('<');
  std::string result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    result += repair_line(text.substr(begin, end - begin), end <= html);
    begin = end;
  }
  return result;
}

}  // namespace wkv::zoo
