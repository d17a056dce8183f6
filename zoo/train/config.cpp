// Recipes from JSON and overrides, and back. One table, visit_fields, says which keys exist and what they accept.
#include "train/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string_view>

#include "train/new_model.h"
#include "train/new_vision_model.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using nlohmann::ordered_json;

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// What a key accepts.
struct Rule {
  double low = -kUnbounded, high = kUnbounded;  // numbers: low <= value <= high
  std::vector<std::string> choices = {};        // strings: one of these; none: any
  bool free = false;                            // may change when a run is continued
  bool json = false;                            // strings: a JSON object too, kept as its text
};

Rule at_least(double low) { return {.low = low}; }
Rule between(double low, double high) { return {.low = low, .high = high}; }
Rule one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }
Rule free_to_change(Rule rule) {
  rule.free = true;
  return rule;
}

std::vector<std::string> all_families() {
  auto names = new_model_families();
  for (const auto& name : new_vision_model_families()) names.push_back(name);
  return names;
}

template <typename Config, typename Visit>
void visit_fields(Config& c, Visit&& visit) {
  constexpr double kPositive = std::numeric_limits<double>::min();
  const double below_one = std::nextafter(1.0, 0.0);
  visit("output", c.output, free_to_change({}));
  visit("seed", c.seed, at_least(0));
  visit("steps", c.steps, free_to_change(at_least(1)));
  visit("batch", c.batch, at_least(1));
  visit("context", c.context, at_least(1));
  visit("accumulate", c.accumulate, at_least(1));
  visit("precision", c.precision, one_of({"fp32", "bf16"}));
  visit("model.checkpoint", c.model.checkpoint, Rule{});
  visit("model.config", c.model.config, Rule{.json = true});
  visit("model.family", c.model.family, one_of(all_families()));
  visit("model.layers", c.model.layers, at_least(1));
  visit("model.width", c.model.width, at_least(1));
  visit("model.head_size", c.model.head_size, at_least(1));
  visit("model.ffn_width", c.model.ffn_width, at_least(0));
  visit("model.vocab", c.model.vocab, at_least(0));
  visit("model.perspectives", c.model.perspectives, at_least(1));
  visit("model.interval", c.model.interval, at_least(0));
  visit("model.ranks.decay", c.model.ranks.decay, at_least(0));
  visit("model.ranks.in_context_rate", c.model.ranks.in_context_rate, at_least(0));
  visit("model.ranks.value_residual", c.model.ranks.value_residual, at_least(0));
  visit("model.ranks.gate", c.model.ranks.gate, at_least(0));
  visit("data.files", c.data.files, Rule{});
  visit("data.tokenizer", c.data.tokenizer, Rule{});
  visit("data.held_out", c.data.held_out, between(0, 0.5));
  visit("data.order", c.data.order, one_of({"shuffled", "consecutive"}));
  visit("data.reset", c.data.reset, between(0, 1));
  visit("data.images", c.data.images, Rule{});
  visit("data.held_out_images", c.data.held_out_images, Rule{});
  visit("data.labels", c.data.labels, Rule{});
  visit("data.captions", c.data.captions, Rule{});
  visit("data.held_out_captions", c.data.held_out_captions, Rule{});
  visit("data.caption_weights", c.data.caption_weights, at_least(0));
  visit("data.pipeline", c.data.pipeline, Rule{});
  visit("data.augment.crop_area", c.data.augment.crop_area, between(kPositive, 1));
  visit("data.augment.crop_aspect", c.data.augment.crop_aspect, between(0.01, 100));
  visit("data.augment.flip", c.data.augment.flip, between(0, 1));
  visit("data.augment.rand_augment", c.data.augment.rand_augment, between(0, 10));
  visit("data.augment.erase", c.data.augment.erase, between(0, 1));
  visit("data.augment.mixup", c.data.augment.mixup, at_least(0));
  visit("data.augment.cutmix", c.data.augment.cutmix, at_least(0));
  visit("optimizer.learning_rate", c.optimizer.learning_rate, at_least(kPositive));
  visit("optimizer.final_learning_rate", c.optimizer.final_learning_rate, at_least(0));
  visit("optimizer.decay", c.optimizer.decay, one_of({"cosine", "linear", "exponential", "one_cycle"}));
  visit("optimizer.warmup", c.optimizer.warmup, at_least(0));
  visit("optimizer.warmup_start", c.optimizer.warmup_start, between(0, 1));
  visit("optimizer.beta1", c.optimizer.beta1, between(0, below_one));
  visit("optimizer.beta2", c.optimizer.beta2, between(0, below_one));
  visit("optimizer.eps", c.optimizer.eps, at_least(0));
  visit("optimizer.weight_decay", c.optimizer.weight_decay, at_least(0));
  visit("optimizer.clip", c.optimizer.clip, at_least(0));
  visit("optimizer.logit_penalty", c.optimizer.logit_penalty, at_least(0));
  visit("optimizer.label_smoothing", c.optimizer.label_smoothing, between(0, below_one));
  visit("optimizer.train", c.optimizer.train, Rule{});
  visit("lora.rank", c.lora.rank, at_least(0));
  visit("lora.alpha", c.lora.alpha, at_least(kPositive));
  visit("lora.targets", c.lora.targets, Rule{});
  visit("lora.merge", c.lora.merge, free_to_change({}));
  visit("state_tuning", c.state_tuning, Rule{});
  visit("gradient_checkpointing", c.gradient_checkpointing, free_to_change({}));
  visit("threads", c.threads, free_to_change(at_least(0)));
  visit("sequence_ranks", c.sequence_ranks, free_to_change(at_least(1)));
  visit("log_every", c.log_every, free_to_change(at_least(1)));
  visit("evaluate_every", c.evaluate_every, free_to_change(at_least(0)));
  visit("checkpoint_every", c.checkpoint_every, free_to_change(at_least(0)));
  visit("export_dtype", c.export_dtype, free_to_change(one_of({"bf16", "fp32"})));
}

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::invalid_argument, message); }

[[noreturn]] void refuse_value(std::string_view key, std::string_view expected, const ordered_json& value) {
  refuse(fmt::format("recipe: {} must be {}, got {}", key, expected, value.dump()));
}

template <typename T>
void check_range(std::string_view key, T value, const Rule& rule, const ordered_json& json) {
  const auto number = static_cast<double>(value);
  if (number >= rule.low && number <= rule.high) return;
  refuse_value(key,
               std::isinf(rule.high) ? fmt::format("at least {:.3g}", rule.low)
                                     : fmt::format("from {:.3g} to {:.3g}", rule.low, rule.high),
               json);
}

template <typename T>
requires std::is_integral_v<T>
void assign(std::string_view key, T& field, const Rule& rule, const ordered_json& value) {
  if (!value.is_number_integer()) refuse_value(key, "a whole number", value);
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    refuse_value(key, "a whole number below 2^63", value);
  check_range(key, value.get<int64_t>(), rule, value);
  field = value.get<T>();
}

void assign(std::string_view key, bool& field, const Rule&, const ordered_json& value) {
  if (!value.is_boolean()) refuse_value(key, "true or false", value);
  field = value.get<bool>();
}

void assign(std::string_view key, double& field, const Rule& rule, const ordered_json& value) {
  if (!value.is_number()) refuse_value(key, "a number", value);
  check_range(key, value.get<double>(), rule, value);
  field = value.get<double>();
}

void assign(std::string_view key, std::optional<double>& field, const Rule& rule, const ordered_json& value) {
  if (value.is_null()) {
    field.reset();
    return;
  }
  if (!value.is_number()) refuse_value(key, "a number or null", value);
  assign(key, field.emplace(), rule, value);
}

void assign(std::string_view key, std::string& field, const Rule& rule, const ordered_json& value) {
  if (rule.json) {
    const auto object = value.is_string() ? ordered_json::parse(value.get<std::string>(), nullptr, false) : value;
    if (object.is_object()) {
      field = object.dump();
      return;
    }
  }
  if (!value.is_string()) refuse_value(key, "a string", value);
  const auto text = value.get<std::string>();
  if (!rule.choices.empty() && std::ranges::find(rule.choices, text) == rule.choices.end())
    refuse_value(key, fmt::format("one of {}", fmt::join(rule.choices, ", ")), value);
  field = text;
}

void assign(std::string_view key, std::vector<std::string>& field, const Rule&, const ordered_json& value) {
  if (!value.is_array() || !std::ranges::all_of(value, [](const auto& item) { return item.is_string(); }))
    refuse_value(key, "a list of strings", value);
  field = value.get<std::vector<std::string>>();
}

void assign(std::string_view key, std::vector<double>& field, const Rule& rule, const ordered_json& value) {
  if (!value.is_array()) refuse_value(key, "a list of numbers", value);
  std::vector<double> numbers;
  for (const auto& item : value) assign(key, numbers.emplace_back(), rule, item);
  field = numbers;
}

// The text behind "key=" as JSON of the field's type; strings and lists need no quotes there.
template <typename T>
ordered_json override_value(const T&, const std::string& text) {
  auto value = ordered_json::parse(text, nullptr, false);
  return value.is_discarded() ? ordered_json(text) : value;
}
ordered_json override_value(const std::string&, const std::string& text) { return text; }
ordered_json override_value(const std::vector<double>&, const std::string& text) {
  auto list = ordered_json::parse("[" + text + "]", nullptr, false);
  return list.is_discarded() ? ordered_json(text) : list;
}
ordered_json override_value(const std::vector<std::string>&, const std::string& text) {
  auto list = ordered_json::array();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) list.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return list;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::vector<std::string> all_keys() {
  std::vector<std::string> keys;
  const TrainConfig config;
  visit_fields(config, [&](const char* key, const auto&, const Rule&) { keys.emplace_back(key); });
  return keys;
}

[[noreturn]] void refuse_key(const std::string& key) {
  const auto keys = all_keys();
  std::vector<std::string> near;
  for (const auto& valid : keys)  // a slip of the finger, or the section forgotten
    if (edit_distance(key, valid) <= 3 || valid.ends_with("." + key)) near.push_back(valid);
  if (near.empty()) refuse(fmt::format("recipe: unknown key {}; the keys are {}", key, fmt::join(keys, ", ")));
  refuse(fmt::format("recipe: unknown key {}; did you mean {}?", key, fmt::join(near, " or ")));
}

// Puts `value(field)` into the field called `key`.
template <typename Value>
void assign_key(TrainConfig& config, const std::string& key, Value&& value) {
  bool known = false;
  visit_fields(config, [&](const char* name, auto& field, const Rule& rule) {
    if (key != name) return;
    known = true;
    assign(name, field, rule, value(field));
  });
  if (!known) refuse_key(key);
}

void assign_object(TrainConfig& config, const std::string& section, const ordered_json& object) {
  const auto keys = all_keys();
  for (const auto& [name, value] : object.items()) {
    const std::string key = section + name;
    const bool is_section = std::ranges::any_of(keys, [&](const auto& valid) { return valid.starts_with(key + "."); });
    if (is_section && value.is_object())
      assign_object(config, key + ".", value);
    else
      assign_key(config, key, [&](const auto&) { return value; });
  }
}

// A key given twice is a mistake that JSON readers hide.
ordered_json parse_strictly(const std::string& text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    constexpr int kDeepest = 32;
    if (depth > kDeepest) refuse(fmt::format("recipe: is nested deeper than {} levels", kDeepest));
    if (event == ordered_json::parse_event_t::object_start) keys.emplace_back();
    if (event == ordered_json::parse_event_t::object_end) keys.pop_back();
    if (event == ordered_json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      refuse(fmt::format("recipe: the key {} stands twice in one object", parsed.dump()));
    return true;
  };
  try {
    return ordered_json::parse(text, check);
  } catch (const ordered_json::parse_error& error) {
    const auto line = 1 + std::ranges::count(text.begin(), text.begin() + std::min(error.byte, text.size()), '\n');
    refuse(fmt::format("recipe: not valid JSON at line {}", line));
  }
}

// A range is [least, most].
void check_interval(const char* key, const std::vector<double>& range) {
  if (range.size() != 2 || range[0] > range[1])
    refuse_value(key, "a list of two numbers, the least and the most", ordered_json(range));
}

void check_together(const TrainConfig& config) {
  if (config.context % config.sequence_ranks != 0)
    refuse(fmt::format("recipe: context must be divisible by sequence_ranks = {}, got {}", config.sequence_ranks,
                       config.context));
  if (config.output.empty()) refuse("recipe: output is missing: the folder that checkpoints and the model go to");
  if (config.data.files.empty() && config.data.images.empty())
    refuse("recipe: data.files is missing: the text to train on; or, of a vision model, data.images");
  if (!config.data.augment.crop_area.empty()) check_interval("data.augment.crop_area", config.data.augment.crop_area);
  check_interval("data.augment.crop_aspect", config.data.augment.crop_aspect);
  if (config.optimizer.final_learning_rate > config.optimizer.learning_rate)
    refuse(fmt::format("recipe: optimizer.final_learning_rate must be at most optimizer.learning_rate = {}, got {}",
                       config.optimizer.learning_rate, config.optimizer.final_learning_rate));
  if (config.optimizer.decay == "exponential" && config.optimizer.final_learning_rate == 0)
    refuse("recipe: optimizer.final_learning_rate must be above 0 for an exponential decay");
  const bool lora = config.lora.rank > 0;
  if ((lora || config.state_tuning) && config.model.checkpoint.empty())
    refuse(fmt::format("recipe: {} needs a model.checkpoint", lora ? "lora" : "state_tuning"));
  if (lora + config.state_tuning + !config.optimizer.train.empty() > 1)
    refuse("recipe: lora, state_tuning and optimizer.train each say what is trained: give one of them");
}

ordered_json as_json(const std::optional<double>& value, const Rule&) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}
ordered_json as_json(const std::string& value, const Rule& rule) {
  return rule.json && value.starts_with('{') ? ordered_json::parse(value) : ordered_json(value);
}
template <typename T>
ordered_json as_json(const T& value, const Rule&) {
  return value;
}

}  // namespace

TrainConfig parse_train_config_text(const std::string& json, const std::vector<std::string>& overrides) {
  TrainConfig config;
  const auto recipe = parse_strictly(json);
  if (!recipe.is_object()) refuse("recipe: must be a JSON object");
  assign_object(config, "", recipe);
  for (const auto& item : overrides) {
    const auto equals = item.find('=');
    if (equals == std::string::npos)
      refuse(fmt::format("recipe: an override must have the form key=value, got {}", item));
    const auto text = item.substr(equals + 1);
    assign_key(config, item.substr(0, equals), [&](const auto& field) { return override_value(field, text); });
  }
  check_together(config);
  return config;
}

TrainConfig parse_train_config(const std::filesystem::path& recipe, const std::vector<std::string>& overrides) {
  std::ifstream stream(recipe, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream || std::filesystem::is_directory(recipe))
    throw Error(ErrorCode::not_found, fmt::format("{}: cannot read this recipe", recipe.string()));
  try {
    return parse_train_config_text(text, overrides);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", recipe.string(), error.what()));
  }
}

std::string to_json(const TrainConfig& config) {
  ordered_json json;
  visit_fields(config, [&](std::string key, const auto& field, const Rule& rule) {
    std::ranges::replace(key, '.', '/');
    json[ordered_json::json_pointer("/" + key)] = as_json(field, rule);
  });
  return json.dump(2);
}

std::string first_difference(const TrainConfig& a, const TrainConfig& b) {
  std::vector<std::pair<std::string, ordered_json>> values;
  visit_fields(a, [&](const char* key, const auto& field, const Rule& rule) {
    if (!rule.free) values.emplace_back(key, as_json(field, rule));
  });
  std::string difference;
  auto next = values.begin();
  visit_fields(b, [&](const char*, const auto& field, const Rule& rule) {
    if (rule.free) return;
    if (difference.empty() && next->second != as_json(field, rule)) difference = next->first;
    ++next;
  });
  return difference;
}

void require_defaults(const TrainConfig& config, const std::vector<std::string>& keys, const std::string& family) {
  std::map<std::string, ordered_json> defaults;
  const TrainConfig untouched;
  visit_fields(untouched, [&](const char* key, const auto& field, const Rule& rule) {
    defaults.emplace(key, as_json(field, rule));
  });
  visit_fields(config, [&](const std::string& key, const auto& field, const Rule& rule) {
    const bool meant = std::ranges::any_of(
        keys, [&](const auto& name) { return key == name || (name.ends_with('.') && key.starts_with(name)); });
    if (meant && defaults.at(key) != as_json(field, rule)) refuse(fmt::format("recipe: {} is not for {}", key, family));
  });
}

}  // namespace wkv::zoo
