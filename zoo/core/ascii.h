// Letters of ASCII; every other byte is left as it is, whatever the locale.
#pragma once
#include <algorithm>
#include <string>

namespace wkv::zoo {

inline std::string ascii_lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

}  // namespace wkv::zoo
