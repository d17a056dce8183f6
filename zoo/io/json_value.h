// JSON from strangers as a value, in a depth in which values can be copied and written, which is done by recursion.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Throws what walk_json throws; nested deeper than 32 levels.
WKV_API nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace wkv::zoo
