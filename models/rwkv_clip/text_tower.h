// RWKV-CLIP's text tower: embedding, blocks, and one vector a text. Its blocks are VRWKV6's, a text being a grid of one
// row: in each head, half of the channels are mixed with the token before, half with the one after.
#pragma once
#include <memory>
#include <vector>

#include "layers/receptance_channel_mix.h"
#include "vrwkv6/spatial_mix.h"
#include "wkv/models/rwkv_clip.h"

namespace wkv::models {

struct TextBlock : torch::nn::Module {
  TextBlock(const RWKVCLIPOptions& options, int64_t layer);
  at::Tensor forward(const at::Tensor& x) const;  // x [B, T, C]
  // Upstream's initial values of the block `layer` of `layers`.
  void initialise(int64_t layer, int64_t layers);

  bool checkpointing;
  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of the embedding, in block 0 only
  std::shared_ptr<VRWKV6SpatialMix> att;
  std::shared_ptr<ReceptanceChannelMix> ffn;

 private:
  at::Tensor run(at::Tensor x) const;
};

struct TextTower : torch::nn::Module {
  explicit TextTower(const RWKVCLIPOptions& options);
  // tokens [B, T] to [B, C]: the mean of the tokens' final values, each of length 1, over all T, padding too.
  at::Tensor forward(const at::Tensor& tokens) const;
  void initialise();

  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<TextBlock>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
};

}  // namespace wkv::models
