// A text as CLIP's published preprocessing hands it to the byte-pair encoding.
#pragma once
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Repairs what copying through the web does to a text, decodes HTML's character references, makes each run of white
// space one space, none at the ends, and lower-cases. text: well-formed UTF-8; so is the result.
// As published but for two things: text that was decoded by a wrong encoding ("cafÃ©") stays as it is, and references
// within references within references are decoded to a depth of 64.
WKV_API std::string clean_clip_text(std::string_view text);

}  // namespace wkv::zoo
