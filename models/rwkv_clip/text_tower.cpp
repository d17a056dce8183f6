#include "rwkv_clip/text_tower.h"

#include <torch/nn/modules/container/modulelist.h>

#include "layers/checkpointed.h"
#include "layers/unit_length.h"

namespace wkv::models {

TextBlock::TextBlock(const RWKVCLIPOptions& o, int64_t layer) : checkpointing(o.checkpointing) {
  if (layer == 0) ln0 = register_module("ln0", std::make_shared<LayerNorm>(o.width));
  ln1 = register_module("ln1", std::make_shared<LayerNorm>(o.width));
  ln2 = register_module("ln2", std::make_shared<LayerNorm>(o.width));
  const QuadShift halves = {.gamma = 0.5, .head_size = o.text_head_size};
  const double ln_x_eps = 1e-5 * o.head_size_divisor * o.head_size_divisor;
  att = register_module("att", std::make_shared<VRWKV6SpatialMix>(o.width, /*with_key_norm=*/false, halves, ln_x_eps));
  const std::vector<int64_t> mix_shape = {1, 1, o.width};
  ffn = register_module(
      "ffn", std::make_shared<ReceptanceChannelMix>(o.width, o.text_ffn_width, MixForm::of_predecessor, mix_shape));
}

at::Tensor TextBlock::forward(const at::Tensor& x) const {
  if (!checkpointing || !is_training()) return run(x);
  const auto self = std::static_pointer_cast<const TextBlock>(shared_from_this());
  return checkpointed([self](const at::Tensor& input) { return self->run(input); }, x, parameters());
}

at::Tensor TextBlock::run(at::Tensor x) const {
  const PatchGrid row = {.height = 1, .width = x.size(1)};
  if (ln0) x = ln0->forward(x);
  x = x + att->forward(ln1->forward(x), row);
  const auto mixed = mix_neighbours(ln2->forward(x), row, att->shift, {ffn->mix_k, ffn->mix_r});
  return x + ffn->gated(mixed[0], mixed[1]);
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
