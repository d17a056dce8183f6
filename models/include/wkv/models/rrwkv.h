// RRWKV-style retrospection on RWKV-4: the project's own definition. The paper of that name, arXiv 2306.05176, is
// withdrawn and published no code; its equations are not known to be these.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wkv/models/language_model.h"
#include "wkv/models/rwkv4.h"

namespace wkv::models {

struct RRWKVOptions {
  RWKV4Options base;         // with attention_width = width, and none of RWKV-4's own additions
  int64_t interval = 16;     // tokens of a segment; 0: none ever ends, and the model computes RWKV-4
  int64_t excite_width = 0;  // of the gate's bottleneck; 0: width / 16, at least 1
  bool operator==(const RRWKVOptions&) const = default;
};

// In every layer each `interval` tokens make a medium: the mean of the time mix's input over the segment, times the
// gate 2 sigmoid(Wu relu(Wd mean)) of that mean. A token sees the medium of the segment before its own in the mix with
// its predecessor, and all earlier ones through a second WKV-4, over mediums, whose result is added to that over
// tokens and to the channel mix. All that adds is zero in a new model, and one made from an RWKV-4 computes the same.
class WKV_API RRWKVImpl : public LanguageModel {
 public:
  // With RWKV-4's initial values and, for what is new, the project's (torch's default generator draws the random ones),
  // or, with initialise = false, with parameters of no particular value, for a loader to replace. Throws wkv::Error for
  // options that fit no model.
  explicit RRWKVImpl(const RRWKVOptions& options, bool initialise = true);
  ~RRWKVImpl() override;
  // Initial values for the parameters that RWKV-4 lacks.
  void initialise_mediums();

  std::string family() const override { return "rrwkv"; }
  std::string config_json() const override;
  static constexpr const char* kIntervalMetadata = "rrwkv.interval";
  std::map<std::string, std::string> metadata() const override;  // the interval, which no shape tells
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.base.vocab; }
  // RWKV-4's recipe: medium_decay and medium_first learn as time_decay and time_first do.
  std::vector<ParameterGroup> parameter_groups() const override;
  const RRWKVOptions& options() const { return options_; }  // widths filled in

 protected:
  // A layer: att_x [C], wkv [3, C], ffn_x [C] as RWKV-4; seg [C], the sum over the open segment; med [C], the last
  // medium; medium_wkv [3, C]; ret [C], the last result of the WKV over mediums. For all layers pos, the tokens so far.
  std::vector<StateEntry> state_entries() const override;
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;
  double recipe_logit_penalty() const override { return 0; }

 private:
  struct Parts;
  RRWKVOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RRWKV);

}  // namespace wkv::models
