// Files that gzip compressed (RFC 1952).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// The content of a file of one member. Throws wkv::Error, beginning with `name`, for anything else, for a damaged one,
// and for a content of more than `max_bytes`; takes no more memory than that.
WKV_API std::string gunzip(std::string_view file, const std::string& name, std::size_t max_bytes);

}  // namespace wkv::zoo
