// The cards that the library carries with it.
#pragma once
#include <string_view>

namespace wkv::zoo {

// {"models": [...], "data": [...]}
std::string_view embedded_cards();

}  // namespace wkv::zoo
