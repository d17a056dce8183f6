// How the trunk's tokens x and the adapter's tokens c see one another around a group of blocks: x reads c ahead of it
// (injector), c reads x behind it (extractor), by deformable attention over their maps (ViT-Adapter, arXiv 2205.08534,
// section 3.4). Names and shapes as in the published checkpoints.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "layers/convolution.h"
#include "vrwkv_adapter/deformable_attention.h"
#include "wkv/models/vrwkv_adapter.h"

namespace wkv::models {

struct InteractionMaps {
  MapSizes trunk;    // x's one
  MapSizes adapter;  // c's three: twice as large as it, as large, and half as large
};

// x + gamma attention(norm(x), norm(c)).
struct Injector : torch::nn::Module {
  explicit Injector(const VRWKVAdapterOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& c, const InteractionMaps& maps) const;
  std::shared_ptr<LayerNorm> query_norm, feat_norm;
  std::shared_ptr<DeformableAttention> attn;
  at::Tensor gamma;  // [C]
};

// A network of two layers with a depthwise convolution over each map between them.
struct ConvFFN : torch::nn::Module {
  ConvFFN(int64_t width, int64_t hidden);
  at::Tensor forward(const at::Tensor& c, const MapSizes& maps) const;
  std::shared_ptr<Linear> fc1, fc2;
  std::shared_ptr<Convolution> dwconv;
};

// c + attention(norm(c), norm(x)); where there is an ffn, what that gives plus ffn(norm(of it)).
struct Extractor : torch::nn::Module {
  explicit Extractor(const VRWKVAdapterOptions& options);
  // path: what the ffn's branch is multiplied by, see draw_path.
  at::Tensor forward(const at::Tensor& c, const at::Tensor& x, const InteractionMaps& maps,
                     const at::Tensor& path) const;
  std::shared_ptr<LayerNorm> query_norm, feat_norm, ffn_norm;
  std::shared_ptr<DeformableAttention> attn;
  std::shared_ptr<ConvFFN> ffn;
};

struct Interaction : torch::nn::Module {
  // is_last: two extractors more follow the extractor, if the options say so.
  Interaction(const VRWKVAdapterOptions& options, bool is_last);
  // Replaces x [B, T, C] and c [B, S, C]. blocks: the trunk's, between injector and extractor.
  void forward(at::Tensor& x, at::Tensor& c, const InteractionMaps& maps,
               const std::function<at::Tensor(const at::Tensor&)>& blocks) const;

  std::shared_ptr<Injector> injector;
  std::vector<std::shared_ptr<Extractor>> extractors;  // the extra ones behind the first
  double drop_path_rate;
  bool checkpointing;
};

}  // namespace wkv::models
