// RWKV-4: arXiv 2305.13048; parameters and names as in BlinkDL/RWKV-LM, RWKV-v4neo, with its options.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

struct RWKV4Options {
  int64_t layers = 12;
  int64_t width = 768;
  int64_t attention_width = 0;  // of the time mix's keys and values; 0: width
  int64_t ffn_width = 0;        // 0: 4 * width
  int64_t vocab = 50277;
  bool pre_ffn = false;  // block 0 has another channel mix, ffnPre, in the place of its time mix
  // Two attentions over all tokens so far, without softmax; with either the state grows with every token.
  int64_t tiny_att_dim = 0;  // of keys and queries of "RWKV-4a"'s attention behind one of the blocks; 0: none
  int64_t tiny_att_layer = 0;
  int64_t head_qk = 0;  // of keys and queries of the attention that adds to the logits of tokens seen; 0: none
  int64_t context =
      1024;  // of their masks tiny_mask and copy_mask, which upstream's files carry and nothing here reads
  double embedding_range = 6e-4;  // a new model's embedding is uniform within +-; upstream: its first learning rate
  bool operator==(const RWKV4Options&) const = default;
};

class WKV_API RWKV4Impl : public LanguageModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit RWKV4Impl(RWKV4Options options, bool initialise = true);
  ~RWKV4Impl() override;

  std::string family() const override { return "rwkv4"; }
  std::string config_json() const override;
  // With head_qk a hidden value is [C + V]: what the attention adds to the logits stands behind it.
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.vocab; }
  std::vector<ParameterGroup> parameter_groups() const override;
  const RWKV4Options& options() const { return options_; }  // attention_width and ffn_width filled in

 protected:
  // A layer: att_x [C], wkv [3, A], ffn_x [C]; with ffnPre: ffn_pre_x [C], ffn_x [C]. Tiny attention: past_tiny_k,
  // past_tiny_v. head_qk: past_head_k, past_tokens.
  std::vector<StateEntry> state_entries() const override;
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;

 private:
  struct Parts;
  RWKV4Options options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKV4);

}  // namespace wkv::models
