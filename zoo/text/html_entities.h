// The character references of HTML (&eacute; &#233; &#xE9;) in a text, in the two ways that CLIP's preprocessing knows.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Well-formed UTF-8 in and out, in O(n).

// As browsers read a text: by number with or without ';', by name with ';' and by some names without.
WKV_API std::string unescape_html(std::string_view text);

// With ';' only, and not for ';' by number; but known names of small letters all in capitals, too, for the character's
// capital.
WKV_API std::string unescape_html_strictly(std::string_view text);

// What stands in Windows-1252 at U+0080 to U+009F, which is what browsers take such numbers for; c: one of them.
char32_t from_windows_1252(char32_t c);

}  // namespace wkv::zoo
