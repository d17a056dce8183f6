// A decoder-only Transformer in today's common form, that of LLaMA (arXiv 2302.13971): RMSNorm ahead of each branch,
// rotary positions, softmax attention over every token so far, SwiGLU, no biases. The baseline beside the recurrent
// models; parameters and names as transformers has them for LlamaForCausalLM.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

struct TransformerOptions {
  int64_t layers = 12;
  int64_t width = 768;     // a multiple of head_size
  int64_t head_size = 64;  // even, at most 256
  int64_t ffn_width = 0;   // 0: 8/3 width, rounded up to a multiple of 32
  int64_t vocab = 65536;
  double rotary_base = 10000;
  double norm_eps = 1e-6;
  bool operator==(const TransformerOptions&) const = default;
};

class WKV_API TransformerImpl : public LanguageModel {
 public:
  // Matrices start normally distributed with deviation 0.02, those that end a branch divided by sqrt(2 layers), as
  // GPT-2 has them (torch's default generator draws them), norms as ones; or, with initialise = false, with no
  // particular values, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit TransformerImpl(TransformerOptions options, bool initialise = true);
  ~TransformerImpl() override;

  std::string family() const override { return "transformer"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.vocab; }
  std::vector<ParameterGroup> parameter_groups() const override;  // matrices are decayed, norms are not
  const TransformerOptions& options() const { return options_; }  // with nothing left to a default

 protected:
  // position, the number of tokens so far, of which a layer keeps all keys, rotated, and values: past_k and past_v
  // [P, H, N]. Without gradients a call leaves room behind them and the next one writes there: states that follow one
  // another share memory, so that each token adds its own cost and no copy of the past. What a state holds stays as it
  // is.
  std::vector<StateEntry> state_entries() const override;
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;
  double recipe_logit_penalty() const override { return 0; }

 private:
  struct Parts;
  TransformerOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(Transformer);

}  // namespace wkv::models
