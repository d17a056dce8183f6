// The repairs that CLIP's preprocessing makes before anything else, after the library ftfy (version 6.2 and its
// defaults).
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Line by line and again until nothing changes, 64 times at most: character references (not from the first line on that
// has a '<', so is HTML), Windows-1252 where control characters are, ligatures, full and half width, curly quotes,
// escape sequences of terminals (with ASCII digits), control characters, NFC. Line breaks, which to CLIP are white
// space, stay as they are. text: well-formed UTF-8.
WKV_API std::string repair_clip_text(std::string_view text);

}  // namespace wkv::zoo
