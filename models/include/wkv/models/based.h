// BASED: arXiv 2402.18668; parameters and names as in HazyResearch/based. Each layer mixes its tokens with a gated
// short convolution, with linear attention over Taylor features, or with softmax attention in a sliding window.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

// The defaults are those of based-360m.
struct BasedOptions {
  int64_t layers = 27;
  int64_t width = 1024;                                   // a multiple of heads and linear_heads
  std::vector<int64_t> linear_layers{1, 6, 11, 16, 21};   // those with linear attention
  std::vector<int64_t> sliding_layers{2, 7, 12, 17, 22};  // those with sliding attention, also where both name a layer
  int64_t linear_heads = 16;
  int64_t feature_size = 16;  // of a query and key of linear attention
  int64_t heads = 16;         // of sliding attention
  int64_t window = 128;       // a query of sliding attention sees itself and window / 2 keys before
  double rotary_base = 10000;
  int64_t conv_width = 0;  // 0: 2 * width
  int64_t conv_kernel = 3;
  int64_t ffn_width = 0;  // rounded up to a multiple of 256; 0: 2 * width
  int64_t vocab = 50257;
  int64_t vocab_multiple = 8;  // the embedding and head have rows for a multiple of this
  double norm_eps = 1e-5;
  bool operator==(const BasedOptions&) const = default;
};

class WKV_API BasedImpl : public LanguageModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit BasedImpl(BasedOptions options, bool initialise = true);
  ~BasedImpl() override;

  std::string family() const override { return "based"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override;  // with the rows that only fill up to a multiple
  std::vector<ParameterGroup> parameter_groups() const override;
  const BasedOptions& options() const { return options_; }  // with nothing left to a default

 protected:
  // position, the number of tokens so far; a layer: conv [D, K]; or kv [H, F, N] and k [H, F], the sums over the past
  // of linear attention for its F = 1 + d + d (d + 1) / 2 distinct features; or window_k and window_v [R, H, N], the
  // last R = window / 2 + 1 rotated keys and values, newest last.
  std::vector<StateEntry> state_entries() const override;
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;
  double recipe_logit_penalty() const override { return 0; }

 private:
  struct Parts;
  BasedOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(Based);

}  // namespace wkv::models
