// A language model whose text is known beforehand.
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/sequences.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/generate.h"

namespace wkv {

// After each token comes the one that a fixed text puts behind it. Its state counts the tokens read; its hidden value
// is the token.
class Parrot : public models::LanguageModel {
 public:
  explicit Parrot(const std::string& text, int64_t vocab = 256) : next_(256, 0), vocab_(vocab) {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) next_[byte(text[i])] = byte(text[i + 1]);
  }
  static int64_t byte(char c) { return static_cast<unsigned char>(c); }

  std::string family() const override { return "parrot"; }
  std::string config_json() const override { return "{}"; }
  at::Tensor logits(const at::Tensor& hidden) override {
    draws += hidden.numel();
    std::vector<int64_t> sizes = hidden.sizes().vec();
    sizes.back() = vocab_;
    const at::Tensor next = at::tensor(next_).index_select(0, hidden.flatten().to(at::kLong));
    return at::one_hot(next, vocab_).to(at::kFloat).view(sizes) * 10;
  }
  int64_t vocab_size() const override { return vocab_; }
  std::vector<models::ParameterGroup> parameter_groups() const override { return {}; }

  int64_t longest_read = 0;
  int64_t draws = 0;
  std::vector<int64_t> batches;  // the number of sequences of each call

 protected:
  std::vector<StateEntry> state_entries() const override { return {{"count", {1}, at::kFloat}}; }
  at::Tensor run(const at::Tensor& tokens, models::State& state, const models::Sequences& sequences) override {
    longest_read = std::max(longest_read, tokens.size(1));
    batches.push_back(tokens.size(0));
    at::Tensor& count = state.entries[0].tensor;
    sequences.write(count, sequences.read(count) + tokens.size(1));
    return tokens.to(at::kFloat).unsqueeze(2);
  }

 private:
  std::vector<int64_t> next_;
  int64_t vocab_;
};

inline GenerateOptions greedy(int64_t max_tokens) { return {.max_tokens = max_tokens, .sampler = {.temperature = 0}}; }

inline double tokens_read(const GenerateResult& result) {
  return result.context.state.entries[0].tensor.item<double>();
}

}  // namespace wkv
