// A new model's parameters against published initial values.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "support/fixture.h"
#include "wkv/models/model.h"

namespace wkv::test {

inline void expect_values(const models::Model& model, const std::map<std::string, at::Tensor>& expected) {
  const auto parameters = model.named_parameters();
  ASSERT_FALSE(expected.empty());
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    EXPECT_EQ(parameters[name].sizes(), value.sizes()) << name;
    EXPECT_LT(absolute_error(parameters[name], value), 2e-6) << name;
  }
}

// patterns: names with * for a number.
inline void expect_zeros(const models::Model& model, const nlohmann::json& patterns) {
  for (const std::string pattern : patterns) {
    const std::regex matcher(
        std::regex_replace(std::regex_replace(pattern, std::regex("\\."), "\\."), std::regex("\\*"), "[0-9]+"));
    int found = 0;
    for (const auto& parameter : model.named_parameters()) {
      if (!std::regex_match(parameter.key(), matcher)) continue;
      ++found;
      EXPECT_EQ(parameter.value().count_nonzero().item<int64_t>(), 0) << parameter.key();
    }
    EXPECT_GT(found, 0) << pattern;
  }
}

}  // namespace wkv::test
