// The characters that stand for bytes in the vocabularies of byte-level BPE: a byte that is visible in Latin-1 for
// itself, the others in their order for U+0100, U+0101, ...
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// The bytes that the token, well-formed UTF-8, stands for; nothing where a character is not of the alphabet.
WKV_API std::optional<std::string> bytes_of_alphabet(std::string_view token);

}  // namespace wkv::zoo
