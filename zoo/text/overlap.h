// Where one text may run on into another.
#pragma once
#include <algorithm>
#include <string_view>

namespace wkv {

// How many of the text's last bytes are the beginning of `next`.
inline std::size_t overlap(std::string_view text, std::string_view next) {
  std::size_t length = std::min(text.size(), next.size());
  while (!text.ends_with(next.substr(0, length))) --length;
  return length;
}

}  // namespace wkv
