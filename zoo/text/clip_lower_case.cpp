#include "text/clip_lower_case.h"

#include "text/clip_tables.h"
#include "text/code_points.h"

namespace wkv::zoo {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
constexpr char32_t kCapitalDottedI = 0x130;

// Whether the first character that is not ignorable is a letter with case.
bool goes_on_with_case(std::string_view text) {
  while (!text.empty()) {
    const auto [c, length] = first_code_point(text);
    if (!in_ranges(kClipCaseIgnorable, c)) return in_ranges(kClipCased, c);
    text.remove_prefix(length);
  }
  return false;
}

}  // namespace

std::string clip_lower_case(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool case_before = false;  // of the last character that is not ignorable
  while (!text.empty()) {
    const auto [c, length] = first_code_point(text);
    text.remove_prefix(length);
    if (c == kCapitalDottedI) {
      result += "i\u0307";
    } else if (c == kCapitalSigma && case_before && !goes_on_with_case(text)) {
      append_code_point(result, kFinalSigma);
    } else {
      append_code_point(result, shifted(kClipLowerCase, c));
    }
    if (!in_ranges(kClipCaseIgnorable, c)) case_before = in_ranges(kClipCased, c);
  }
  return result;
}

}  // namespace wkv::zoo
