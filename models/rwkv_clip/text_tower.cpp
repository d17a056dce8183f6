#include "rwkv_clip/text_tower.h"

#include <torch/nn/modules/container/modulelist.h>

#include "layers/unit_length.h"

namespace wkv::models {

TextBlock::TextBlock(const RWKVCLIPOptions& o, int64_t layer) {
  if (layer == 0) ln0 = register_module("ln0", std::make_shared<LayerNorm>(o.width));
  ln1 = register_module("ln1", std::make_shared<LayerNorm>(o.width));
  ln2 = register_module("ln2", std::make_shared<LayerNorm>(o.width));
  att = register_module("att", std::make_shared<TextTimeMix>(o));
  const std::vector<int64_t> mix_shape = {1, 1, o.width};
  ffn = register_module(
      "ffn", std::make_shared<ReceptanceChannelMix>(o.width, o.text_ffn_width, MixForm::of_predecessor, mix_shape));
}

at::Tensor TextBlock::forward(const at::Tensor& input) const {
  at::Tensor x = ln0 ? ln0->forward(input) : input;
  x = x + att->forward(ln1->forward(x));
  const at::Tensor normalised = ln2->forward(x);
  const at::Tensor difference = bidirectional_shift(normalised, att->head_size) - normalised;
  return x +
         ffn->gated(at::addcmul(normalised, difference, ffn->mix_k), at::addcmul(normalised, difference, ffn->mix_r));
}

TextTower::TextTower(const RWKVCLIPOptions& o)
    : emb(register_module("emb", std::make_shared<Embedding>(o.vocab, o.width))) {
  torch::nn::ModuleList list;
  for (int64_t layer = 0; layer < o.text_layers; ++layer) {
    blocks.push_back(std::make_shared<TextBlock>(o, layer));
    list->push_back(blocks.back());
  }
  register_module("blocks", list);
  ln_out = register_module("ln_out", std::make_shared<LayerNorm>(o.width));
}

at::Tensor TextTower::forward(const at::Tensor& tokens) const {
  at::Tensor x = emb->forward(tokens);
  for (const auto& block : blocks) x = block->forward(x);
  return unit_length(ln_out->forward(x)).mean(1);
}

}  // namespace wkv::models
