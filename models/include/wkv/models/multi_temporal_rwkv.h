// RWKV-4 with P temporal perspectives: arXiv 2402.02625; parameters and names as in RazvanDu/TemporalRNNs.
#pragma once
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "wkv/models/language_model.h"
#include "wkv/models/rwkv4.h"

namespace wkv::models {

struct MultiTemporalRWKVOptions {
  RWKV4Options base;         // without tiny attention and head_qk
  int64_t perspectives = 4;  // P
  bool operator==(const MultiTemporalRWKVOptions&) const = default;
};

// The trunk runs P times over the same weights, each time with token-shift mixes of its own; a softmax of every token,
// from the mean of the P final values, weighs them, and the head sees their sum. P times the work and state of RWKV-4.
class WKV_API MultiTemporalRWKVImpl : public LanguageModel {
 public:
  // With upstream's intended initial values (torch's default generator draws the random ones), or, with initialise =
  // false, with parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no
  // model.
  explicit MultiTemporalRWKVImpl(const MultiTemporalRWKVOptions& options, bool initialise = true);
  ~MultiTemporalRWKVImpl() override;

  std::string family() const override { return "multi_temporal_rwkv"; }
  std::string config_json() const override;
  at::Tensor logits(const at::Tensor& hidden) override;
  int64_t vocab_size() const override { return options_.base.vocab; }
  // One group, as published: nothing is decayed, all learn at one rate. The published fine-tuning of a converted RWKV-4
  // trains those with time_mix, convert or head in their names, the whole head included, and leaves the others.
  std::vector<ParameterGroup> parameter_groups() const override;
  const MultiTemporalRWKVOptions& options() const { return options_; }  // base's widths filled in

 protected:
  std::vector<StateEntry> state_entries()
      const override;  // RWKV-4's with P rows each: att_x [P, C], wkv [P, 3, A], ...
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) override;

 private:
  struct Parts;
  MultiTemporalRWKVOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(MultiTemporalRWKV);

}  // namespace wkv::models
