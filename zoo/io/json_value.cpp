#include "io/json_value.h"

#include "io/json_events.h"

namespace wkv::zoo {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  constexpr size_t kDeepest = 32;
  walk_json(text, where, kDeepest, [](JsonPath, const JsonEvent&) {});
  return nlohmann::json::parse(text);
}

}  // namespace wkv::zoo
