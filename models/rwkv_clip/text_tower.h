// RWKV-CLIP's text tower: embedding, blocks, and one vector a text.
#pragma once
#include <vector>

#include "layers/receptance_channel_mix.h"
#include "rwkv_clip/text_time_mix.h"

namespace wkv::models {

struct TextBlock : torch::nn::Module {
  TextBlock(const RWKVCLIPOptions& options, int64_t layer);
  // x [B, T, C].
  at::Tensor forward(const at::Tensor& x) const;
  // Gives it upstream's initial values, as the block `layer` of `layers`.
  void initialise(int64_t layer, int64_t layers);

  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of the embedding, in block 0 only
  std::shared_ptr<TextTimeMix> att;
  std::shared_ptr<ReceptanceChannelMix> ffn;
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
