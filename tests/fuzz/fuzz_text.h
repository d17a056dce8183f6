// A fuzz target of a tokenizer's file: whatever the file, it gives a tokenizer that takes any bytes, or throws
// wkv::Error.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>

#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::fuzz {

// A good file with a part replaced: the input's first two bytes say where, the next how much, the rest by what.
inline std::string damaged(std::string good, std::string_view input) {
  const auto byte = [&](size_t i) { return i < input.size() ? static_cast<unsigned char>(input[i]) : 0u; };
  const size_t at = (byte(0) << 8 | byte(1)) % (good.size() + 1);
  return good.replace(at, byte(2), input.substr(std::min<size_t>(3, input.size())));
}

// parser: from a file to a tokenizer.
template <typename parser_t>
int use_tokenizer(const parser_t& parser, std::string_view text) {
  try {
    const auto tokenizer = parser();
    tokenizer.decode(tokenizer.encode(text));
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace wkv::fuzz
