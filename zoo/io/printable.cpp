#include "io/printable.h"

namespace wkv::zoo {

std::string printable(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string line;
  for (const char c : text.substr(0, kLongest)) line += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > kLongest ? line + "..." : line;
}

}  // namespace wkv::zoo
