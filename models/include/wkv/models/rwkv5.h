// RWKV-5 "Eagle" and its previews 5.0 and 5.1: arXiv 2404.05892; parameters and names as in BlinkDL/RWKV-LM.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

// The defaults are 5.2. 5.1: per_channel = false. 5.0: gate = false as well; its oldest files have an
// exponential_bonus.
struct RWKV5Options {
  int64_t layers = 24;
  int64_t width = 2048;
  int64_t attention_width = 0;  // of all heads together; 0: width
  int64_t head_size = 64;
  int64_t ffn_width = 0;  // 0: 3.5 * width, rounded down to a multiple of 32; 4 * width without gate
  int64_t vocab = 65536;
  double ln_x_eps = 64e-5;         // of the GroupNorm behind the op: 1e-5 * (upstream's head_size_divisor)^2
  bool gate = true;                // the time mix's output is gated by silu of a projection
  bool per_channel = true;         // decay and bonus for each channel; else one of each a head
  bool exponential_bonus = false;  // the bonus is exp(time_first); else time_faaaa itself
  // State tuning: att.time_state [H, N, N] is the state with which every sequence starts, and the only parameter that
  // parameter_groups() has.
  bool time_state = false;
  bool operator==(const RWKV5Options&) const = default;
};

class WKV_API RWKV5Impl : public LanguageModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit RWKV5Impl(RWKV5Options options, bool initialise = true);
  ~RWKV5Impl() override;

  std::string family() const override { return "rwkv5"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.vocab; }
  std::vector<ParameterGroup> parameter_groups() const override;
  const RWKV5Options& options() const { return options_; }  // widths filled in

 protected:
  std::vector<StateEntry> state_entries() const override;  // att_x [C], wkv [H, N, N], ffn_x [C] a layer
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;

 private:
  struct Parts;
  RWKV5Options options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKV5);

}  // namespace wkv::models
