#include "vrwkv_adapter/dense_adapter.h"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include "vrwkv/spatial_mix.h"
#include "vrwkv6/spatial_mix.h"

namespace wkv::models {
namespace {

std::unique_ptr<VisionTrunk> make_trunk(torch::nn::Module& owner, const VRWKVOptions& o) {
  const QuadShift shift = {.pixels = o.shift_pixel, .gamma = o.channel_gamma};
  return std::make_unique<VisionTrunk>(owner, o.trunk, shift, [&] {
    return std::make_shared<VRWKVSpatialMix>(o.trunk.width, o.trunk.key_norm, shift, o.compat_chunks);
  });
}

std::unique_ptr<VisionTrunk> make_trunk(torch::nn::Module& owner, const VRWKV6Options& o) {
  const QuadShift shift = {.head_size = o.head_size};
  return std::make_unique<VisionTrunk>(owner, o.trunk, shift, [&] {
    return std::make_shared<VRWKV6SpatialMix>(o.trunk.width, o.trunk.key_norm, shift);
  });
}

void require_sides(const at::Tensor& images) {
  if (images.size(2) % 32 == 0 && images.size(3) % 32 == 0) return;
  throw Error(ErrorCode::shape_mismatch, fmt::format("images: expected sides that are multiples of 32, got {} x {}",
                                                     images.size(2), images.size(3)));
}

}  // namespace

DenseAdapter::DenseAdapter(torch::nn::Module& owner, const VRWKVAdapterOptions& o)
    : options(o),
      trunk(std::visit([&](const auto& backbone) { return make_trunk(owner, backbone); }, o.backbone)),
      spm(owner.register_module("spm", std::make_shared<SpatialPrior>(o.conv_inplane, o.trunk().width))),
      level_embed(owner.register_parameter("level_embed", at::empty({3, o.trunk().width}))) {
  torch::nn::ModuleList list;
  for (size_t i = 0; i < o.interaction_indexes.size(); ++i) {
    interactions.push_back(std::make_shared<Interaction>(o, /*is_last=*/i + 1 == o.interaction_indexes.size()));
    list->push_back(interactions.back());
  }
  owner.register_module("interactions", list);
  up = owner.register_module("up", std::make_shared<TransposedConvolution>(o.trunk().width));
  for (size_t i = 0; i < norms.size(); ++i)
    norms[i] = owner.register_module(fmt::format("norm{}", i + 1), std::make_shared<BatchNorm>(o.trunk().width));
}

std::vector<FeatureMap> DenseAdapter::features(const at::Tensor& images) const {
  require_sides(images);
  auto [x, grid] = trunk->embed(images);
  const MapSize size = {grid.height, grid.width};
  const InteractionMaps sizes = {
      .trunk = {size}, .adapter = {{2 * size.height, 2 * size.width}, size, {size.height / 2, size.width / 2}}};

  std::array<at::Tensor, 4> maps = spm->forward(images.to(level_embed.scalar_type()));
  std::vector<at::Tensor> levels;
  for (size_t i = 0; i < 3; ++i) levels.push_back(to_tokens(maps[i + 1]) + level_embed[static_cast<int64_t>(i)]);
  at::Tensor c = at::cat(levels, 1);

  std::vector<at::Tensor> left;  // what left each interaction
  for (size_t i = 0; i < interactions.size(); ++i) {
    interactions[i]->forward(x, c, sizes, [&, &own_grid = grid](at::Tensor tokens) {
      const auto [first, last] = options.interaction_indexes[i];
      for (int64_t layer = first; layer <= last; ++layer)
        tokens = trunk->layers[static_cast<size_t>(layer)]->forward(tokens, own_grid);
      return tokens;
    });
    left.push_back(x);
  }

  int64_t start = 0;
  for (size_t i = 0; i < 3; ++i) {
    maps[i + 1] = to_map(c.narrow(1, start, sizes.adapter[i].places()), sizes.adapter[i]);
    start += sizes.adapter[i].places();
  }
  maps[0] = maps[0] + up->forward(maps[1]);
  if (options.add_rwkv_feature) {
    const auto added = trunk_maps(left, size);
    for (size_t i = 0; i < maps.size(); ++i) maps[i] = maps[i] + added[i];
  }
  std::vector<FeatureMap> features;
  for (size_t i = 0; i < maps.size(); ++i) features.push_back({.patches = norms[i]->forward(maps[i])});
  return features;
}

std::array<at::Tensor, 4> DenseAdapter::trunk_maps(const std::vector<at::Tensor>& tokens, const MapSize& size) const {
  const bool each = options.variant == AdapterVariant::segmentation;
  std::array<at::Tensor, 4> maps;
  for (size_t i = 0; i < maps.size(); ++i) {
    const at::Tensor map = to_map(each ? tokens[i] : tokens.back(), size);
    maps[i] = resize_bilinear(map, 4 * size.height >> i, 4 * size.width >> i);
  }
  return maps;
}

}  // namespace wkv::models
