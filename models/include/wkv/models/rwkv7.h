// RWKV-7 "Goose" (x070): arXiv 2503.14456; parameters and names as in BlinkDL/RWKV-LM, RWKV-v7/train_temp.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

// Widths of the low-rank products. 0: the rule of the published training code for this width.
struct RWKV7Ranks {
  int64_t decay = 0;            // w1, w2
  int64_t in_context_rate = 0;  // a1, a2
  int64_t value_residual = 0;   // v1, v2
  int64_t gate = 0;             // g1, g2
  bool operator==(const RWKV7Ranks&) const = default;
};

struct RWKV7Options {
  int64_t layers = 12;
  int64_t width = 768;  // a multiple of head_size
  int64_t head_size = 64;
  int64_t ffn_width = 0;  // 0: 4 * width
  int64_t vocab = 65536;
  RWKV7Ranks ranks;
  double ln_x_eps = 64e-5;  // of the GroupNorm behind the op, whatever the head size
  // What some checkpoints have and others lack.
  bool first_value_residual = true;  // block 0 carries v0, v1, v2, which nothing reads
  bool input_norm = true;            // blocks.0.ln0
  bool head_bias = false;
  bool block_bias = false;  // blocks.*.att_bias: a constant added with the time mix's output
  // State tuning: att.time_state [H, N, N] is the state with which every sequence starts, and the only parameter that
  // the recipe trains.
  bool time_state = false;
  bool operator==(const RWKV7Options&) const = default;
};

class WKV_API RWKV7Impl : public LanguageModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace; time_state is zero either way. Throws wkv::Error
  // for options that fit no model.
  explicit RWKV7Impl(RWKV7Options options, bool initialise = true);
  ~RWKV7Impl() override;

  std::string family() const override { return "rwkv7"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.vocab; }
  std::vector<ParameterGroup> parameter_groups() const override;
  const RWKV7Options& options() const { return options_; }  // ranks and ffn_width filled in

 protected:
  std::vector<StateEntry> state_entries() const override;  // att_x [C], wkv [H, N, N], ffn_x [C] a layer
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;

 private:
  struct Parts;
  RWKV7Options options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKV7);

}  // namespace wkv::models
