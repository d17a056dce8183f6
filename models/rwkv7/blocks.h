// The parts of RWKV-7: time mix, channel mix, block. arXiv 2503.14456 section 4; names and shapes as in the published
// checkpoints.
#pragma once
#include <torch/nn/modules/container/modulelist.h>

#include <memory>

#include "core/sequences.h"
#include "layers/linear.h"
#include "wkv/models/rwkv7.h"

namespace wkv::models {

struct RWKV7TimeMix : torch::nn::Module {
  RWKV7TimeMix(const RWKV7Options& options, int64_t layer);
  // x [B, T, C], normalised. shift [rows, C] and wkv [rows, H, N, N] become their values after the last token.
  // first_value [B, T, C]: layer 0 writes its value there, later layers read it.
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv, at::Tensor& first_value,
                     const Sequences& sequences) const;
  void initialise();

  int64_t layer, layers, heads, head_size, width;
  at::Tensor x_r, x_w, x_k, x_v, x_a, x_g;  // [1, 1, C] token-shift mix of each input
  at::Tensor w0, w1, w2;                    // [1, 1, C], [C, R], [R, C] decay
  at::Tensor a0, a1, a2;                    // in-context learning rate
  at::Tensor v0, v1, v2;                    // value residual
  at::Tensor g1, g2;                        // output gate
  at::Tensor k_k, k_a;                      // [1, 1, C] removal key, and how far the rate scales the key
  at::Tensor r_k;                           // [H, N] bonus
  at::Tensor time_state;                    // [H, N, N], see RWKV7Options
  std::shared_ptr<Linear> receptance, key, value, output;
  std::shared_ptr<HeadNorm> ln_x;
};

struct RWKV7ChannelMix : torch::nn::Module {
  RWKV7ChannelMix(const RWKV7Options& options, int64_t layer);
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, const Sequences& sequences) const;
  void initialise();

  int64_t layer, layers, width;
  at::Tensor x_k;  // [1, 1, C]
  std::shared_ptr<Linear> key, value;
};

struct RWKV7Block : torch::nn::Module {
  RWKV7Block(const RWKV7Options& options, int64_t layer);
  // entries: the block's three in a State. first_value: what block 0 makes and the others read.
  at::Tensor forward(at::Tensor x, State::Entry* entries, at::Tensor& first_value, const Sequences& sequences) const;
  void initialise();

  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of the embedding, in block 0 only
  std::shared_ptr<RWKV7TimeMix> att;
  std::shared_ptr<RWKV7ChannelMix> ffn;
  at::Tensor att_bias;  // [C], see RWKV7Options::block_bias
};

}  // namespace wkv::models
