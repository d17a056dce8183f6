// The table that every model test runs over: a fixture made by the published implementation, and how to load its
// family.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/load.h"

namespace wkv::test {

struct LanguageModelCase {
  std::string family;   // folder of tests/data and name of the family
  std::string fixture;  // <fixture>.safetensors with w.*, in.idx, in.target, out.*, grad.*, state.*; <fixture>.json is
                        // its config
  double logit_error;   // largest absolute error of an fp32 logit: four times what the published code itself shows (the
                        // JSON says)
};

inline std::ostream& operator<<(std::ostream& out, const LanguageModelCase& c) {
  return out << c.family << '/' << c.fixture;
}

inline const std::vector<LanguageModelCase>& language_model_cases() {
  static const std::vector<LanguageModelCase> cases = {
      {"rwkv7", "tiny", 1.3e-5},
      {"rwkv7", "tiny-h32", 1.2e-5},
      {"rwkv7", "tiny-h64", 8e-6},
  };
  return cases;
}

}  // namespace wkv::test
