// Normalization form C of Unicode: characters composed, marks in canonical order.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// text: well-formed UTF-8. Takes O(n log n) whatever the text.
WKV_API std::string nfc(std::string_view text);

}  // namespace wkv::zoo
