#include "layers/vision_trunk.h"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <cmath>

#include "layers/initial_values.h"
#include "layers/option_checks.h"
#include "layers/position_embedding.h"

namespace wkv::models {

VisionTrunkOptions complete(VisionTrunkOptions o, const char* owner) {
  require_at_least(owner, "trunk.patch_size", o.patch_size, 1);
  require_at_least(owner, "trunk.image_size", o.image_size, o.patch_size);
  require_at_least(owner, "trunk.width", o.width, 1);
  require_at_least(owner, "trunk.layers", o.layers, 1);
  require_at_least(owner, "trunk.hidden_rate", o.hidden_rate, 1);
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: trunk.{}", owner, what));
  };
  if (!(o.drop_path_rate >= 0 && o.drop_path_rate < 1))  // also NaN
    refuse(fmt::format("drop_path_rate must be at least 0 and below 1, got {}", o.drop_path_rate));
  if (o.init_values && !std::isfinite(*o.init_values))
    refuse(fmt::format("init_values must be finite, got {}", *o.init_values));
  if (o.output_class_token && !o.class_token) refuse("output_class_token needs a class_token");
  if (o.out_indices.empty()) o.out_indices = {o.layers - 1};
  for (int64_t& index : o.out_indices) {
    if (index < -o.layers || index >= o.layers)
      refuse(fmt::format("out_indices must be in {}..{}, got {}", -o.layers, o.layers - 1, index));
    if (index < 0) index += o.layers;
  }
  return o;
}

VisionTrunk::VisionTrunk(torch::nn::Module& owner, const VisionTrunkOptions& o, const QuadShift& shift,
                         const std::function<std::shared_ptr<SpatialMix>()>& make_mix)
    : options(o),
      patch_embed(owner.register_module("patch_embed", std::make_shared<PatchEmbedding>(o.patch_size, o.width))) {
  const int64_t side = o.image_size / o.patch_size;
  pos_embed = owner.register_parameter("pos_embed", at::empty({1, side * side, o.width}));
  if (o.class_token) cls_token = owner.register_parameter("cls_token", at::empty({1, 1, o.width}));
  torch::nn::ModuleList list;
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    layers.push_back(std::make_shared<VisionBlock>(o, layer, shift, make_mix()));
    list->push_back(layers.back());
  }
  owner.register_module("layers", list);
  if (o.final_norm) ln1 = owner.register_module("ln1", std::make_shared<LayerNorm>(o.width));
}

std::pair<at::Tensor, PatchGrid> VisionTrunk::embed(const at::Tensor& images) const {
  auto [x, grid] = patch_embed->forward(images);
  x = x + positions_for(pos_embed, options.image_size / options.patch_size, grid);
  if (cls_token.defined()) {
    x = at::cat({x, cls_token.expand({x.size(0), 1, options.width})}, 1);
    grid.class_tokens = 1;
  }
  return {x, grid};
}

at::Tensor VisionTrunk::run(at::Tensor x, const PatchGrid& grid,
                            const std::function<void(int64_t, const at::Tensor&)>& after) const {
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    x = layers[static_cast<size_t>(layer)]->forward(x, grid);
    if (ln1 && layer + 1 == options.layers) x = ln1->forward(x);
    if (after) after(layer, x);
  }
  return x;
}

std::vector<FeatureMap> VisionTrunk::features(const at::Tensor& images) const {
  const auto [tokens, grid] = embed(images);
  std::vector<FeatureMap> maps(options.out_indices.size());
  run(tokens, grid, [&, &own_grid = grid](int64_t layer, const at::Tensor& x) {
    for (size_t i = 0; i < maps.size(); ++i)
      if (options.out_indices[i] == layer) maps[i] = feature_map(x, own_grid, options.output_class_token);
  });
  return maps;
}

at::Tensor VisionTrunk::pooled(const at::Tensor& images) const {
  const auto [tokens, grid] = embed(images);
  const at::Tensor x = run(tokens, grid);
  return options.output_class_token ? x.select(1, -1) : x.narrow(1, 0, grid.patches()).mean(1);
}

void VisionTrunk::initialise(const std::function<void(const Linear&)>& set_matrix) const {
  const at::NoGradGuard no_grad;
  const PatchProjection& projection = *patch_embed->projection;
  const double range = 1 / std::sqrt(static_cast<double>(projection.weight[0].numel()));
  torch::nn::init::uniform_(projection.weight, -range, range);
  torch::nn::init::uniform_(projection.bias, -range, range);
  torch::nn::init::zeros_(pos_embed);
  if (cls_token.defined()) torch::nn::init::zeros_(cls_token);
  if (ln1) set_identity(*ln1);
  for (const auto& block : layers) {
    for (const at::Tensor& gamma : {block->gamma1, block->gamma2})
      if (gamma.defined()) torch::nn::init::constant_(gamma, *options.init_values);
    for (const auto& module : block->modules()) {
      if (const auto* norm = module->as<LayerNorm>()) set_identity(*norm);
      if (const auto* norm = module->as<HeadNorm>()) set_identity(*norm);
      if (const auto* matrix = module->as<Linear>()) set_matrix(*matrix);
    }
  }
}

FeatureMap feature_map(const at::Tensor& tokens, const PatchGrid& grid, bool with_class_token) {
  const at::Tensor patches = tokens.narrow(1, 0, grid.patches()).transpose(1, 2);
  return {.patches = patches.reshape({tokens.size(0), tokens.size(2), grid.height, grid.width}),
          .class_token = with_class_token ? tokens.select(1, -1) : at::Tensor()};
}

}  // namespace wkv::models
