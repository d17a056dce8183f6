// Lower case as Unicode's full mapping has it.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// text: well-formed UTF-8. A capital sigma at the end of a word becomes the final one. Takes O(n).
WKV_API std::string clip_lower_case(std::string_view text);

}  // namespace wkv::zoo
