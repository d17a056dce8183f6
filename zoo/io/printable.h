// Text from a stranger's file made fit for an error message: one short line without control characters.
#pragma once
#include <string>
#include <string_view>

namespace wkv::zoo {

std::string printable(std::string_view text);

}  // namespace wkv::zoo
