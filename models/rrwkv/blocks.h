// What RRWKV's layers add to RWKV-4's: mediums of finished segments, and a look back at them in both mixes.
#pragma once
#include <memory>
#include <vector>

#include "rrwkv/segments.h"
#include "rwkv4/blocks.h"
#include "wkv/models/rrwkv.h"

namespace wkv::models {

// What each token [B, T, C] sees of the segments before its own.
struct Retrospect {
  at::Tensor medium;   // the last one, in the space of the time mix's inputs
  at::Tensor average;  // the WKV over all mediums, in the space of its values
};

struct RRWKVTimeMix : RWKV4TimeMix {
  explicit RRWKVTimeMix(const RRWKVOptions& options);
  // x [B, T, C], normalised. The entries are those of the state: seg, med, medium_wkv, ret.
  Retrospect look_back(const at::Tensor& x, State::Entry* entry, const Segments& segments,
                       const Sequences& sequences) const;
  at::Tensor forward(const at::Tensor& x, const Retrospect& past, at::Tensor& shift, at::Tensor& wkv,
                     const Sequences& sequences) const;
  void initialise_mediums(Depth depth);

  at::Tensor medium_mix_k, medium_mix_v, medium_mix_r;  // [1, 1, C]
  at::Tensor medium_out, medium_decay, medium_first;    // [C]
  std::shared_ptr<Linear> excite_down, excite_up;

 private:
  int64_t interval_;
};

struct RRWKVChannelMix : ReceptanceChannelMix {
  explicit RRWKVChannelMix(const RWKV4Options& options);
  at::Tensor forward(const at::Tensor& x, const Retrospect& past, at::Tensor& shift, const Sequences& sequences) const;
  void initialise_mediums();

  at::Tensor medium_mix_k, medium_mix_r;  // [1, 1, C]
};

struct RRWKVBlock : torch::nn::Module {
  RRWKVBlock(const RRWKVOptions& options, int64_t layer);
  static constexpr size_t kEntries = 7;  // of a block, in a State; entry: the first of them
  at::Tensor forward(at::Tensor x, State::Entry* entry, const Segments& segments, const Sequences& sequences) const;
  void initialise_base(Depth depth);
  void initialise_mediums(Depth depth);

  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of the embedding, in block 0 only
  std::shared_ptr<RRWKVTimeMix> att;
  std::shared_ptr<RRWKVChannelMix> ffn;
};

}  // namespace wkv::models
