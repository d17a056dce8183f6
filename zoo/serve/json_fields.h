// A request's JSON object: parsed within bounds, and read field by field so that nothing in it goes unnoticed.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::serve {

// Throws ApiError (400) for what is no JSON object, or is nested deeper than kMaxJsonDepth.
inline constexpr int kMaxJsonDepth = 32;
WKV_API nlohmann::json parse_json_object(std::string_view text);

// The fields of an object; null is the same as not there. Every read throws ApiError (400) for a value of another type
// or out of range, with the field's name.
class WKV_API JsonFields {
 public:
  explicit JsonFields(const nlohmann::json& object) : object_(object) {}

  const nlohmann::json* find(const std::string& name);  // null where the field is not there
  std::optional<int64_t> integer(const std::string& name, int64_t least, int64_t most);
  std::optional<double> number(const std::string& name, double least, double most);
  std::optional<bool> boolean(const std::string& name);
  std::optional<std::string> text(const std::string& name);
  // Fields that change nothing here.
  void ignore(std::initializer_list<const char*> names);
  // A field whose only value that is supported is this one, or an empty object or array.
  void only(const std::string& name, const nlohmann::json& value);
  // At the end: throws ApiError (400) for a field that nobody asked for.
  void refuse_others() const;

 private:
  const nlohmann::json& object_;
  std::set<std::string> known_;
};

}  // namespace wkv::serve
