#include "serve/json_fields.h"

#include <fmt/format.h>

#include "io/printable.h"
#include "serve/api_error.h"

namespace wkv::serve {
namespace {

[[noreturn]] void refuse_field(const std::string& name, const std::string& message) {
  throw ApiError(400, fmt::format("{}: {}", name, message), name);
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text) {
  // depth: of the containers around what begins.
  const auto bounded = [](int depth, nlohmann::json::parse_event_t event, const nlohmann::json&) {
    using Event = nlohmann::json::parse_event_t;
    if (depth >= kMaxJsonDepth && (event == Event::object_start || event == Event::array_start))
      throw ApiError(400, fmt::format("the body is nested deeper than {} levels", kMaxJsonDepth));
    return true;
  };
  try {
    nlohmann::json value = nlohmann::json::parse(text, bounded);
    if (value.is_object()) return value;
  } catch (const nlohmann::json::parse_error& e) {
    throw ApiError(400, fmt::format("the body is not valid JSON (at byte {})", e.byte));
  } catch (const nlohmann::json::exception&) {  // a number that no double holds
    throw ApiError(400, "the body is not valid JSON: a number in it is out of range");
  }
  throw ApiError(400, "the body must be a JSON object");
}

const nlohmann::json* JsonFields::find(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> JsonFields::integer(const std::string& name, int64_t least, int64_t most) {
  const nlohmann::json* value = find(name);
  if (!value) return std::nullopt;
  const bool fits = value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  if (!fits || value->get<int64_t>() < least || value->get<int64_t>() > most)
    refuse_field(name, fmt::format("must be an integer in {}..{}", least, most));
  return value->get<int64_t>();
}

std::optional<double> JsonFields::number(const std::string& name, double least, double most) {
  const nlohmann::json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number() || value->get<double>() < least || value->get<double>() > most)
    refuse_field(name, fmt::format("must be a number in {}..{}", least, most));
  return value->get<double>();
}

std::optional<bool> JsonFields::boolean(const std::string& name) {
  const nlohmann::json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) refuse_field(name, "must be true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonFields::text(const std::string& name) {
  const nlohmann::json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) refuse_field(name, "must be a string");
  return value->get<std::string>();
}

void JsonFields::ignore(std::initializer_list<const char*> names) { known_.insert(names.begin(), names.end()); }

void JsonFields::only(const std::string& name, const nlohmann::json& value) {
  const nlohmann::json* given = find(name);
  if (!given || *given == value || (given->is_structured() && given->empty())) return;
  refuse_field(name, "not supported");
}

void JsonFields::refuse_others() const {
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) {
      const std::string shown = zoo::printable(name);
      throw ApiError(400, fmt::format("unknown parameter: {}", shown), shown, "unknown_parameter");
    }
  }
}

}  // namespace wkv::serve
