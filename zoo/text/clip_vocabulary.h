// The vocabulary of CLIP's byte-pair encoding, made from its list of merges.
#pragma once
#include <string>
#include <string_view>

#include "text/bpe_vocabulary.h"
#include "wkv/export.h"

namespace wkv::zoo {

constexpr std::string_view kClipWordEnd = "</w>";
constexpr std::string_view kClipStart = "<start_of_text>", kClipEnd = "<end_of_text>";

// file: a line that says what it is, then merges, a line `left right` each, of which the first 48894 are read. Ids: the
// bytes, in the order of their alphabet; each again as the last one of a word; what the merges give; start and end.
// The bytes of a token that ends a word have kClipWordEnd behind them.
// Throws wkv::Error, beginning with `source` and the number of the line, where one is not two tokens of lines before,
// or gives one that is known; and where the file has too few.
WKV_API BpeVocabulary parse_clip_vocabulary(std::string_view file, const std::string& source);

}  // namespace wkv::zoo
