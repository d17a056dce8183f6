// The parts of RWKV-4: time mix, tiny attention, block. arXiv 2305.13048 section 3; names and shapes as in the
// published checkpoints. Models that run the same blocks over several perspectives or add to them build on these.
#pragma once
#include <memory>
#include <vector>

#include "core/sequences.h"
#include "layers/initial_values.h"
#include "layers/linear.h"
#include "layers/receptance_channel_mix.h"
#include "wkv/models/rwkv4.h"

namespace wkv::models {

// x [R, T, C] mixed with its predecessors, as by mix_tokens; mixes of [1, 1, C], or [P, 1, 1, C] where the rows, or the
// packed positions, are those of P perspectives one after another.
std::vector<at::Tensor> mix_perspectives(const at::Tensor& x, at::Tensor& last, const std::vector<at::Tensor>& mixes,
                                         const Sequences& sequences);

// wkv4's state of one sequence before its first token, [3, channels].
at::Tensor empty_wkv4_state(int64_t channels, const at::TensorOptions& options);

struct RWKV4TimeMix : torch::nn::Module {
  // mix_shape: of the three mixes, as in mix_perspectives.
  RWKV4TimeMix(const RWKV4Options& options, const std::vector<int64_t>& mix_shape);
  // x [B, T, C], normalised. shift [rows, C] and wkv [rows, 3, A] become their values after the last token.
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv, const Sequences& sequences) const;
  void initialise(Depth depth);

  // The three steps of forward: the mixed inputs, the op, and gate and output.
  struct Inputs {
    at::Tensor key, value, receptance;
  };
  Inputs mixed(const at::Tensor& x, at::Tensor& shift, const Sequences& sequences) const;
  at::Tensor average(const Inputs& inputs, at::Tensor& wkv, const Sequences& sequences) const;  // [B, T, A]
  // The same with a decay and a bonus of another recurrence over this layer's keys and values.
  at::Tensor average(const Inputs& inputs, const at::Tensor& decay, const at::Tensor& first, at::Tensor& wkv,
                     const Sequences& sequences) const;
  at::Tensor gated(const at::Tensor& average, const at::Tensor& receptance_input) const;

  at::Tensor time_decay, time_first;  // [A]
  at::Tensor time_mix_k, time_mix_v, time_mix_r;
  std::shared_ptr<Linear> key, value, receptance, output;
};

// Of ReceptanceChannelMix, for any number of perspectives.
at::Tensor channel_mix(const ReceptanceChannelMix& ffn, const at::Tensor& x, at::Tensor& shift,
                       const Sequences& sequences);
void initialise_channel_mix(const ReceptanceChannelMix& ffn, Depth depth);

// The published recipe: decays, *_decay, learn at twice the rate and bonuses, *_first, at three times; matrices are
// decayed.
std::vector<ParameterGroup> rwkv4_parameter_groups(const torch::nn::Module& model);

struct RWKV4Block : torch::nn::Module {
  RWKV4Block(const RWKV4Options& options, int64_t layer, const std::vector<int64_t>& mix_shape);
  // embedding [B, T, C]: of the tokens, as the table has it. entry: the first of the block's state_entries().
  at::Tensor forward(at::Tensor x, const at::Tensor& embedding, State::Entry* entry, const Sequences& sequences) const;
  size_t state_entries() const { return (ffn_pre ? 2 : 3) + (tiny_ln ? 2 : 0); }
  void initialise(Depth depth);

  std::shared_ptr<LayerNorm> ln0, ln1, ln2;       // ln0: of the embedding, in block 0 only
  std::shared_ptr<RWKV4TimeMix> att;              // or
  std::shared_ptr<ReceptanceChannelMix> ffn_pre;  // see RWKV4Options::pre_ffn
  std::shared_ptr<ReceptanceChannelMix> ffn;
  std::shared_ptr<LayerNorm> tiny_ln;  // tiny attention, in one block only
  std::shared_ptr<Linear> tiny_q, tiny_k, tiny_v;

 private:
  at::Tensor tiny_attention(const at::Tensor& x, const at::Tensor& embedding, at::Tensor& past_k, at::Tensor& past_v,
                            const Sequences& sequences) const;
};

// All blocks; entry: the first of the first block's in the state, afterwards the one behind the last one's.
at::Tensor run_blocks(const std::vector<std::shared_ptr<RWKV4Block>>& blocks, bool checkpointing, at::Tensor x,
                      const at::Tensor& embedding, State::Entry*& entry, const Sequences& sequences);

}  // namespace wkv::models
