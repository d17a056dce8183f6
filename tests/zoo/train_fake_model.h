// The smallest language model that has everything a trainer touches: an embedding, a leaky sum over time as state, a
// head.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::test {

class FakeLanguageModel : public models::LanguageModel {
 public:
  FakeLanguageModel(int64_t vocab, int64_t width) : vocab_(vocab), width_(width) {
    emb = register_parameter("emb", at::randn({vocab, width}) * 0.1);
    head = register_parameter("head", at::randn({vocab, width}) * 0.1);
    scale = register_parameter("scale", at::ones({width}));
    unused = register_parameter("unused", at::ones({2}));
  }
  std::string family() const override { return "fake"; }
  std::string config_json() const override { return "{}"; }
  int64_t vocab_size() const override { return vocab_; }
  at::Tensor logits(const at::Tensor& values) override { return at::linear(values, head); }
  std::vector<models::ParameterGroup> parameter_groups() const override { return groups; }

  at::Tensor emb, head, scale, unused;
  std::vector<models::ParameterGroup> groups = {
      {{"emb", "head"}, 1.0, true}, {{"scale"}, 2.0, false}, {{"unused"}, 1.0, false}};

 protected:
  std::vector<StateEntry> state_entries() const override { return {{"sum0", {width_}, at::kFloat}}; }
  at::Tensor run(const at::Tensor& tokens, models::State& state, const models::Sequences&) override {
    at::Tensor& sum = state.entries[0].tensor;
    std::vector<at::Tensor> sums;
    for (int64_t t = 0; t < tokens.size(1); ++t) {
      sum = 0.5 * sum + at::embedding(emb, tokens.select(1, t));
      sums.push_back(sum);
    }
    return (sums.empty() ? at::zeros({tokens.size(0), 0, width_}) : at::stack(sums, 1)) * scale;
  }

 private:
  int64_t vocab_, width_;
};

// The model that knows nothing: every token is as likely as any other.
inline std::shared_ptr<FakeLanguageModel> uniform_model(int64_t vocab) {
  auto model = std::make_shared<FakeLanguageModel>(vocab, 4);
  const at::NoGradGuard no_grad;
  model->head.zero_();
  return model;
}

}  // namespace wkv::test
