#include "mapping/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>

#include "io/json_value.h"
#include "io/printable.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

std::string without_wrappers(std::string name) {
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (const std::string prefix : {"module.", "_orig_mod."}) {
      if (name.starts_with(prefix)) {
        name.erase(0, prefix.size());
        stripped = true;
      }
    }
  }
  // What PyTorch Lightning puts ahead of BASED's names.
  for (const std::string own : {"transformer.", "lm_head."}) {
    if (name.starts_with("model." + own)) name.erase(0, std::string("model.").size());
  }
  return name;
}

std::string text_of(const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

}  // namespace

Checkpoint::Checkpoint(TensorSource source, std::string path) : source_(std::move(source)), path_(std::move(path)) {
  index();
  find_quantized_matrices();
}

void Checkpoint::replace(std::vector<TensorEntry> entries) {
  source_.entries = std::move(entries);
  index();
}

void Checkpoint::index() {
  tensors_.clear();
  for (const TensorEntry& entry : source_.entries) {
    const std::string name = without_wrappers(entry.name);
    if (!tensors_.emplace(name, &entry).second) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: two tensors are called {}", path_, name));
    }
  }
}

void Checkpoint::find_quantized_matrices() {
  const auto found = source_.metadata.find(kQuantizationKey);
  if (found == source_.metadata.end()) return;
  if (found->second != "int8" && found->second != "int4") {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: is quantised as {}: not supported, int8 and int4 are",
                                                           path_, printable(found->second)));
  }
  quantization_ = found->second;
  for (const auto& [name, entry] : tensors_) {
    if (entry->dtype == at::kByte) matrices_.emplace(entry, quantized_matrix(*entry, path_));
  }
}

bool Checkpoint::has_prefix(const std::string& prefix) const {
  const auto found = tensors_.lower_bound(prefix);
  return found != tensors_.end() && found->first.starts_with(prefix);
}

const std::vector<int64_t>& Checkpoint::shape(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    throw Error(ErrorCode::missing_tensor, fmt::format("{}: the tensor {} is missing", path_, name));
  return shape(*found->second);
}

const std::vector<int64_t>& Checkpoint::shape(const std::string& name, size_t dimensions) const {
  const std::vector<int64_t>& shape = this->shape(name);
  if (shape.size() != dimensions || std::ranges::find(shape, 0) != shape.end()) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} must have {} dimensions, none of them 0, got [{}]",
                                                       path_, name, dimensions, fmt::join(shape, ", ")));
  }
  return shape;
}

void Checkpoint::require_shape(const std::string& name, const std::vector<int64_t>& expected) const {
  if (const auto& found = shape(name, expected.size()); found != expected) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} must be [{}], got [{}]", path_, name,
                                                       fmt::join(expected, ", "), fmt::join(found, ", ")));
  }
}

const std::vector<int64_t>& Checkpoint::shape(const TensorEntry& entry) const {
  const auto matrix = matrices_.find(&entry);
  return matrix == matrices_.end() ? entry.shape : matrix->second.shape;
}

std::string Checkpoint::dtype(const TensorEntry& entry) const {
  const auto matrix = matrices_.find(&entry);
  return matrix == matrices_.end() ? dtype_name(entry.dtype) : matrix->second.format;
}

int64_t Checkpoint::count_blocks(const std::string& prefix) const {
  std::set<int64_t> indices;
  for (auto it = tensors_.lower_bound(prefix); it != tensors_.end() && it->first.starts_with(prefix); ++it) {
    int64_t index = 0;
    const char* begin = it->first.data() + prefix.size();
    const auto [end, error] = std::from_chars(begin, it->first.data() + it->first.size(), index);
    if (error == std::errc() && index >= 0 && *end == '.') indices.insert(index);
  }
  const auto count = static_cast<int64_t>(indices.size());
  if (count == 0 || *indices.rbegin() != count - 1) {
    throw Error(ErrorCode::missing_tensor,
                fmt::format("{}: the blocks of {}* are not numbered 0, 1, 2, ... without a gap", path_, prefix));
  }
  return count;
}

const nlohmann::json* Config::given(const std::string& key) {
  known_.insert(key);
  const auto found = values_.find(key);
  return found == values_.end() || found->is_null() ? nullptr : &*found;
}

void Config::expect(const std::string& key, int64_t found) {
  const auto* value = given(key);
  if (value && *value != found) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: {} is {}, but the tensors say {}", where_, key, value->dump(), found));
  }
}

void Config::expect(const std::string& key, const std::vector<std::string>& accepted) {
  const auto* value = given(key);
  if (!value) return;
  if (std::ranges::find(accepted, text_of(*value)) == accepted.end()) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: {} is {}, but the tensors say {}", where_, key, value->dump(), accepted.front()));
  }
}

double Config::number(const std::string& key, double otherwise) {
  const auto* value = given(key);
  if (!value) return otherwise;
  if (!value->is_number()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be a number, got {}", where_, key, value->dump()));
  }
  return value->get<double>();
}

bool Config::says(const std::string& key, const std::string& value) {
  const auto* found = given(key);
  return found && *found == value;
}

int64_t Config::integer(const std::string& key, int64_t otherwise) {
  const auto* value = given(key);
  if (!value) return otherwise;
  // 0 to 2^31: no size of a model is larger, and its products still fit.
  if (!value->is_number() || *value < 0 || *value > (int64_t{1} << 31) || value->get<int64_t>() != *value) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be an integer, not negative, got {}", where_, key, value->dump()));
  }
  return value->get<int64_t>();
}

bool Config::flag(const std::string& key, bool otherwise) {
  const auto* value = given(key);
  if (!value) return otherwise;
  if (!value->is_boolean()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be true or false, got {}", where_, key, value->dump()));
  }
  return value->get<bool>();
}

std::optional<std::vector<int64_t>> Config::integers(const std::string& key) {
  const auto* value = given(key);
  if (!value) return std::nullopt;
  if (value->is_number_integer()) return {{value->get<int64_t>()}};
  if (!value->is_array() || !std::ranges::all_of(*value, [](const auto& x) { return x.is_number_integer(); })) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be a list of integers, got {}", where_, key, value->dump()));
  }
  return value->get<std::vector<int64_t>>();
}

std::optional<std::vector<std::pair<int64_t, int64_t>>> Config::ranges(const std::string& key) {
  const auto* value = given(key);
  if (!value) return std::nullopt;
  const auto is_range = [](const nlohmann::json& range) {
    return range.is_array() && range.size() == 2 && range[0].is_number_integer() && range[1].is_number_integer();
  };
  if (!value->is_array() || !std::ranges::all_of(*value, is_range)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be a list of [first, last], got {}", where_, key, value->dump()));
  }
  return value->get<std::vector<std::pair<int64_t, int64_t>>>();
}

std::string Config::text(const std::string& key, const std::string& otherwise) {
  const auto* value = given(key);
  if (!value) return otherwise;
  if (!value->is_string()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be a string, got {}", where_, key, value->dump()));
  }
  return value->get<std::string>();
}

void Config::fill(const nlohmann::json& values) {
  for (const auto& [key, value] : values.items())
    if (!values_.contains(key)) values_[key] = value;
}

void Config::require(const std::string& key, const std::vector<std::string>& supported) {
  const auto* value = given(key);
  if (value && std::ranges::find(supported, text_of(*value)) == supported.end()) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: {} is {}: not supported, only {} is", where_, key,
                                                           value->dump(), fmt::join(supported, ", ")));
  }
}

Config Config::section(const std::string& key) {
  const auto* value = given(key);
  if (!value) return {};
  if (!value->is_object()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: {} must be an object, got {}", where_, key, value->dump()));
  }
  return {*value, fmt::format("{}, {}", where_, key)};
}

std::vector<std::string> Config::unknown_keys() const {
  // What describes a file only says nothing about the model.
  static const std::set<std::string> descriptive = {"dtype", "T", "batch", "B", "seed", "loss", "description"};
  std::vector<std::string> unknown;
  for (const auto& [key, value] : values_.items()) {
    if (!known_.contains(key) && !descriptive.contains(key)) unknown.push_back(key);
  }
  return unknown;
}

Config read_config(const std::string& text_or_path, const std::string& checkpoint) {
  const auto parse = [](const std::string& text, const std::string& where) {
    constexpr size_t kLongestConfig = 2 << 20;  // as a value it takes some 20 times that
    if (text.size() > kLongestConfig)
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: too long for a configuration", where));
    nlohmann::json values = parse_json(text, where);
    if (!values.is_object()) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: not a JSON object", where));
    }
    // A card or a description of a file keeps the model's own keys in a section.
    if (const auto section = values.find("config"); section != values.end() && section->is_object()) {
      const nlohmann::json own = std::move(*section);
      values.erase("config");
      values.update(own);
    }
    return Config(std::move(values), where);
  };
  const auto first = text_or_path.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text_or_path[first] == '{') return parse(text_or_path, "configuration");

  std::filesystem::path path = text_or_path;
  if (text_or_path.empty()) {
    path = std::filesystem::path(checkpoint) / "config.json";
    if (!std::filesystem::is_regular_file(path)) return {};
  }
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::not_found, fmt::format("{}: can't be read as a configuration", path.string()));
  return parse({std::istreambuf_iterator<char>(file), {}}, path.string());
}

}  // namespace wkv::zoo
