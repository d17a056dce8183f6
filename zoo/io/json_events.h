// JSON from strangers, as events: nothing is built, so that memory stays small whatever the text holds.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace wkv::zoo {

struct JsonEvent {
  enum class Kind { begin_object, begin_array, end, text, integer, boolean, null, other };

  Kind kind;
  std::string_view text = {};
  int64_t integer = 0;  // of a boolean 0 or 1
};

// The keys that lead to the event; an array's place has an empty key.
using JsonPath = std::span<const std::string>;

// Calls `visit` for every value of the text. Throws wkv::Error (corrupt_file, beginning with `where`) for what is not
// JSON, is nested deeper than `max_depth`, names a key twice, or holds a single token of more than 64 KiB.
void walk_json(std::string_view text, const std::string& where, size_t max_depth,
               const std::function<void(JsonPath, const JsonEvent&)>& visit);

}  // namespace wkv::zoo
