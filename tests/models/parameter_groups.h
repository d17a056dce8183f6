// A recipe's parameter groups in a form that can be compared: what each parameter gets.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "wkv/models/language_model.h"

namespace wkv::test {

// By parameter: the factor of the learning rate, and whether it is decayed.
using NamedGroups = std::map<std::string, std::pair<double, bool>>;

inline NamedGroups named_groups(const models::LanguageModel& model) {
  NamedGroups named;
  for (const auto& group : model.parameter_groups())
    for (const auto& name : group.names) named[name] = {group.learning_rate_scale, group.weight_decay};
  return named;
}

// As the fixtures describe them: [{"names" or "params": [...], "weight_decay": 0.1, "lr_scale": 2}, ...].
inline NamedGroups named_groups(const nlohmann::json& groups) {
  NamedGroups named;
  for (const auto& group : groups)
    for (const std::string name : group.at(group.contains("names") ? "names" : "params"))
      named[name] = {group.at("lr_scale").get<double>(), group.at("weight_decay").get<double>() > 0};
  return named;
}

}  // namespace wkv::test
