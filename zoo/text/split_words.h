// The words within which GPT-2's byte-pair encoding merges.
#pragma once
#include <cstddef>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// The length in bytes of the text's first word: the first match of
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// text: well-formed UTF-8, not empty.
WKV_API std::size_t first_word(std::string_view text);

}  // namespace wkv::zoo
