#include "layers/vision_block.h"

#include <utility>

#include "layers/checkpointed.h"
#include "layers/drop_path.h"
#include "layers/in_place.h"

namespace wkv::models {

VisionBlock::VisionBlock(const VisionTrunkOptions& o, int64_t layer, const QuadShift& shift,
                         std::shared_ptr<SpatialMix> mix)
    : post_norm(o.post_norm),
      checkpointing(o.checkpointing),
      drop_path_rate(path_rate(o.drop_path_rate, layer, o.layers)) {
  if (layer == 0) ln0 = register_module("ln0", std::make_shared<LayerNorm>(o.width));
  ln1 = register_module("ln1", std::make_shared<LayerNorm>(o.width));
  ln2 = register_module("ln2", std::make_shared<LayerNorm>(o.width));
  if (o.init_values) {
    gamma1 = register_parameter("gamma1", at::empty({o.width}));
    gamma2 = register_parameter("gamma2", at::empty({o.width}));
  }
  att = register_module("att", std::move(mix));
  ffn =
      register_module("ffn", std::make_shared<SpatialChannelMix>(o.width, o.hidden_rate * o.width, o.key_norm, shift));
}

at::Tensor VisionBlock::forward(const at::Tensor& x, const PatchGrid& grid) const {
  // Drawn once, so that a block computed again leaves out the same samples.
  const at::Tensor att_path = draw_path(x, drop_path_rate, is_training()),
                   ffn_path = draw_path(x, drop_path_rate, is_training());
  if (!checkpointing || !is_training()) return run(x, grid, att_path, ffn_path);
  const auto self = std::static_pointer_cast<const VisionBlock>(shared_from_this());
  return checkpointed([=](const at::Tensor& in) { return self->run(in, grid, att_path, ffn_path); }, x, parameters());
}

at::Tensor VisionBlock::run(at::Tensor x, const PatchGrid& grid, const at::Tensor& att_path,
                            const at::Tensor& ffn_path) const {
  const auto add = [&](const auto& mix, const LayerNorm& norm, const at::Tensor& gamma, const at::Tensor& path) {
    at::Tensor branch = post_norm ? norm.forward(mix.forward(x, grid)) : mix.forward(norm.forward(x), grid);
    if (gamma.defined()) branch = times(branch, gamma);
    x = plus(along_path(branch, path), x);
  };
  if (ln0) x = ln0->forward(x);
  add(*att, *ln1, gamma1, att_path);
  add(*ffn, *ln2, gamma2, ffn_path);
  return x;
}

}  // namespace wkv::models
