// UTF-8 as it arrives: bytes in, well-formed text out.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

WKV_API bool is_valid_utf8(std::string_view bytes);

// Each maximal ill-formed subsequence becomes U+FFFD, as the Unicode standard recommends and browsers do.
WKV_API std::string to_valid_utf8(std::string_view bytes);

// The same piece by piece. A character that is not complete yet is held back: whatever the cuts, the pieces joined are
// the text decoded as a whole.
class WKV_API Utf8Decoder {
 public:
  std::string push(std::string_view bytes);
  std::string flush();  // at the end: what is still incomplete becomes one U+FFFD

 private:
  std::string pending_;  // the beginning of one character, at most three bytes
};

}  // namespace wkv::zoo
