// RWKV-6 "Finch" (x060) and its research variants: arXiv 2404.05892; parameters and names as in BlinkDL/RWKV-LM.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"

namespace wkv::models {

enum class RWKV6Variant {
  x060,   // what is published
  x060a,  // the gate is a low-rank product
  x060b,  // no gate, and one LayerNorm over all heads behind the op
  x060c,  // x060b with keys scaled by 1 - decay
};

// Widths of the low-rank products. 0: what the published models of this width have.
struct RWKV6Ranks {
  int64_t mix = 0;    // of each input's mix
  int64_t decay = 0;  // time_decay_w1, time_decay_w2
  int64_t gate = 0;   // gate_w1, gate_w2 of x060a
  bool operator==(const RWKV6Ranks&) const = default;
};

struct RWKV6Options {
  RWKV6Variant variant = RWKV6Variant::x060;
  int64_t layers = 24;
  int64_t width = 2048;  // a multiple of head_size
  int64_t head_size = 64;
  int64_t ffn_width = 0;  // 0: 3.5 * width, rounded down to a multiple of 32
  int64_t vocab = 65536;
  RWKV6Ranks ranks;
  double ln_x_eps = 0;  // of the norm behind the op; 0: 64e-5, or 1e-5 for x060b and x060c
  // State tuning: att.time_state [H, N, N] is the state with which every sequence starts, and the only parameter that
  // the recipe trains.
  bool time_state = false;
  bool operator==(const RWKV6Options&) const = default;
};

class WKV_API RWKV6Impl : public LanguageModel {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false,
  // with parameters of no particular value, for a loader to replace; time_state is zero either way. Throws wkv::Error
  // for options that fit no model.
  explicit RWKV6Impl(RWKV6Options options, bool initialise = true);
  ~RWKV6Impl() override;

  std::string family() const override { return "rwkv6"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.vocab; }
  std::vector<ParameterGroup> parameter_groups() const override;
  const RWKV6Options& options() const { return options_; }  // every 0 replaced

 protected:
  std::vector<StateEntry> state_entries() const override;  // att_x [C], wkv [H, N, N], ffn_x [C] a layer
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;

 private:
  struct Parts;
  RWKV6Options options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKV6);

}  // namespace wkv::models
