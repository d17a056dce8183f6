#include "text/clip_text.h"

#include "text/clip_lower_case.h"
#include "text/clip_repair.h"
#include "text/code_points.h"
#include "text/html_entities.h"
#include "text/unicode_tables.h"

namespace wkv::zoo {
namespace {

std::string with_single_spaces(std::string_view text) {
  std::string result;
  bool space_before = false;
  while (!text.empty()) {
    const auto [c, length] = first_code_point(text);
    if (in_ranges(kSpaces, c)) {
      space_before = true;
    } else {
      if (space_before && !result.empty()) result += ' ';
      space_before = false;
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace

std::string clean_clip_text(std::string_view text) {
  const std::string repaired = repair_clip_text(text);
  return clip_lower_case(with_single_spaces(unescape_html(unescape_html(repaired))));
}

}  // namespace wkv::zoo
