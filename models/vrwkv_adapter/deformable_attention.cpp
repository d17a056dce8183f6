#include "vrwkv_adapter/deformable_attention.h"

#include <torch/nn/init.h>

#include <cmath>
#include <numbers>

#include "layers/constant.h"
#include "layers/precision.h"
#include "wkv/ops.h"

namespace wkv::models {
namespace {

// The centre of each place, (x, y) in 0..1 of its own map: [Q, 2].
at::Tensor centres(const MapSizes& maps, const at::TensorOptions& options) {
  std::vector<at::Tensor> all;
  for (const MapSize& size : maps) {
    const auto along = [&](int64_t n) { return (at::arange(n, options) + 0.5) / n; };
    const auto grid = at::meshgrid({along(size.height), along(size.width)}, "ij");
    all.push_back(at::stack({grid[1], grid[0]}, -1).view({-1, 2}));
  }
  return at::cat(all);
}

}  // namespace

DeformableAttention::DeformableAttention(const Sizes& s) : heads(s.heads), levels(s.levels), points(s.points) {
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, std::make_shared<Linear>(in, out, /*with_bias=*/true));
  };
  const int64_t samples = s.heads * s.levels * s.points;
  sampling_offsets = linear("sampling_offsets", s.width, 2 * samples);
  attention_weights = linear("attention_weights", s.width, samples);
  value_proj = linear("value_proj", s.width, s.value_width);
  output_proj = linear("output_proj", s.value_width, s.width);
}

at::Tensor DeformableAttention::forward(const at::Tensor& query, const MapSizes& query_maps, const at::Tensor& features,
                                        const MapSizes& feature_maps) const {
  const int64_t batch = query.size(0), queries = query.size(1);
  std::vector<int64_t> shapes, starts;
  std::vector<double> widths_and_heights;
  int64_t places = 0;
  for (const MapSize& size : feature_maps) {
    shapes.insert(shapes.end(), {size.height, size.width});
    starts.push_back(places);
    widths_and_heights.insert(widths_and_heights.end(),
                              {static_cast<double>(size.width), static_cast<double>(size.height)});
    places += size.places();
  }
  const at::Tensor value = value_proj->forward(features).view({batch, places, heads, -1});
  const at::Tensor weights =
      at::softmax(at_least_float(attention_weights->forward(query)).view({batch, queries, heads, -1}), -1)
          .view({batch, queries, heads, levels, points});
  // In fp32: a half type does not resolve half a place of a large map.
  const at::Tensor offsets =
      at_least_float(sampling_offsets->forward(query)).view({batch, queries, heads, levels, points, 2});
  const at::Tensor scale = constant(widths_and_heights, offsets.options()).view({levels, 1, 2});
  const at::Tensor locations = centres(query_maps, offsets.options()).view({queries, 1, 1, 1, 2}) + offsets / scale;
  const at::Tensor seen = ops::ms_deform_attn(value, constant(shapes, at::kLong).view({levels, 2}),
                                              constant(starts, at::kLong), locations, weights);
  return output_proj->forward(seen);
}

// Head h looks in the direction 2 pi h / M, its point p at a distance of p + 1 places.
void DeformableAttention::initialise() const {
  const at::NoGradGuard no_grad;
  at::Tensor bias = at::empty({heads, levels, points, 2}, at::kDouble);
  for (int64_t head = 0; head < heads; ++head) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(head) / static_cast<double>(heads);
    const double norm = std::max(std::abs(std::cos(angle)), std::abs(std::sin(angle)));
    const at::Tensor direction = at::tensor({std::cos(angle) / norm, std::sin(angle) / norm}, at::kDouble);
    for (int64_t point = 0; point < points; ++point)
      bias.select(0, head).select(1, point).copy_(direction * (point + 1));
  }
  torch::nn::init::zeros_(sampling_offsets->weight);
  sampling_offsets->bias.copy_(bias.view({-1}));
  for (const auto& linear : {value_proj, output_proj}) torch::nn::init::xavier_uniform_(linear->weight);
  torch::nn::init::zeros_(attention_weights->weight);
  for (const auto& linear : {attention_weights, value_proj, output_proj}) torch::nn::init::zeros_(linear->bias);
}

}  // namespace wkv::models
