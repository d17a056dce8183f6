// The words within which CLIP's byte-pair encoding merges.
#pragma once
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Cuts the next word off a cleaned text; empty: there is none. Without regard to case it is the first match of
//   <start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+
WKV_API std::string_view take_clip_word(std::string_view& text);

}  // namespace wkv::zoo
