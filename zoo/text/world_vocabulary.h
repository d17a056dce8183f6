// The file format of the RWKV World vocabulary: lines `<id> <Python literal> <number of bytes>`, ids 1, 2, 3, ...
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// tokens[i] has id i + 1. Throws wkv::Error, with the line, for anything that is not such a file, for a token that
// comes twice and for a single byte that is no token (a text with it could not be encoded). source: the file's name,
// for these messages.
WKV_API std::vector<std::string> parse_world_vocabulary(std::string_view file, const std::string& source);

}  // namespace wkv::zoo
