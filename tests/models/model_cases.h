// The table that every test of language models runs over: fixtures made by the published implementations. Each family's
// test file adds its rows.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/load.h"

namespace wkv::test {

using StateTensors = std::map<std::string, at::Tensor>;

// The fixture's state.* as they are.
inline StateTensors same_state(const Fixture& fixture) { return fixture.with_prefix("state."); }

struct LanguageModelCase {
  std::string family;
  std::string fixture;           // "rwkv7/tiny": .safetensors with w.*, in.*, out.*, grad.*; .json is its configuration
  double logit_error;            // largest absolute error of an fp32 logit, a few times what the published code shows
  double gradient_error = 5e-5;  // relative to a parameter's largest
  double gradient_penalty = 0;   // the logit penalty that grad.* include
  StateTensors (*state)(const Fixture&) = same_state;  // after the last token, under our names; none: not published
  double bf16_error = 5e-2;                            // relative to the largest logit
};

inline std::ostream& operator<<(std::ostream& out, const LanguageModelCase& c) { return out << c.fixture; }

inline std::vector<LanguageModelCase>& language_model_cases() {
  static std::vector<LanguageModelCase> cases;
  return cases;
}

// const LanguageModelRows rows({{"rwkv7", "rwkv7/tiny", 1.3e-5}, ...});
struct LanguageModelRows {
  explicit LanguageModelRows(const std::vector<LanguageModelCase>& rows) {
    auto& all = language_model_cases();
    all.insert(all.end(), rows.begin(), rows.end());
  }
};

// A fixture and its model, loaded as a user would from files.
class GoldenModel {
 public:
  // Throws std::runtime_error where the fixture is not there.
  explicit GoldenModel(const LanguageModelCase& c) : case_(c), fixture(golden(c.fixture + ".safetensors")) {
    std::vector<std::pair<std::string, at::Tensor>> weights;
    for (const auto& [name, tensor] : fixture.with_prefix("w.")) weights.emplace_back(name, tensor);
    zoo::write_safetensors(folder_ / "model.safetensors", weights);
    description = nlohmann::json::parse(std::ifstream(golden(c.fixture + ".json")));
  }

  std::shared_ptr<models::LanguageModel> load(at::ScalarType dtype = at::kFloat) const {
    return zoo::load_language_model((folder_ / "model.safetensors").string(),
                                    {.config = golden(case_.fixture + ".json").string(), .dtype = dtype});
  }

  const at::Tensor& tokens() const { return first_of({"in.idx", "in.tokens", "in.input_ids"}); }
  const at::Tensor& logits() const { return fixture["out.logits"]; }
  // fp64 where it is published, else fp32.
  const at::Tensor& exact_logits() const { return first_of({"out.logits64", "out64.logits", "out.logits"}); }
  // What the published loss is taken over: targets of their own, or each token's successor.
  std::pair<at::Tensor, at::Tensor> inputs_and_targets() const {
    if (fixture.has("in.target")) return {tokens(), fixture["in.target"]};
    if (fixture.has("in.targets")) return {tokens(), fixture["in.targets"]};
    return {tokens().slice(1, 0, -1), tokens().slice(1, 1)};
  }

 private:
  const at::Tensor& first_of(std::initializer_list<const char*> names) const {
    for (const char* name : names)
      if (fixture.has(name)) return fixture[name];
    throw std::runtime_error(case_.fixture + ": has none of the names that it should have");
  }

  LanguageModelCase case_;
  ScratchFolder folder_;

 public:
  Fixture fixture;
  nlohmann::json description;
};

}  // namespace wkv::test
