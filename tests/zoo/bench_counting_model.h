// A language model that computes nothing and remembers what it was asked for.
#pragma once
#include <ATen/Functions.h>

#include <string>
#include <utility>
#include <vector>

#include "core/sequences.h"
#include "wkv/models/language_model.h"

namespace wkv::test {

class CountingModel : public models::LanguageModel {
 public:
  explicit CountingModel(std::string state_entry = "count") : state_entry_(std::move(state_entry)) {}

  std::string family() const override { return "counting"; }
  std::string config_json() const override { return "{}"; }
  int64_t vocab_size() const override { return 20; }
  at::Tensor logits(const at::Tensor& hidden) override {
    tokens_with_logits += hidden.numel();
    std::vector<int64_t> sizes = hidden.sizes().vec();
    sizes.back() = vocab_size();
    return at::arange(vocab_size(), at::kFloat).expand(sizes);
  }
  std::vector<models::ParameterGroup> parameter_groups() const override { return {}; }

  using Sizes = std::vector<std::pair<int64_t, int64_t>>;
  Sizes runs;  // sequences and tokens of each
  int64_t tokens_with_logits = 0;

 protected:
  std::vector<StateEntry> state_entries() const override { return {{state_entry_, {1}, at::kFloat}}; }
  at::Tensor run(const at::Tensor& tokens, models::State& state, const models::Sequences& sequences) override {
    runs.emplace_back(tokens.size(0), tokens.size(1));
    at::Tensor& entry = state.entries[0].tensor;
    sequences.write(entry, sequences.read(entry) + 1);
    return at::zeros({tokens.size(0), tokens.size(1), 1});
  }

 private:
  std::string state_entry_;
};

}  // namespace wkv::test
