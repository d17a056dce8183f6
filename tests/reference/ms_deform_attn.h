// ms_deform_attn as a sum of grid_sample over the levels: any dtype, differentiable, slow.
#pragma once
#include <ATen/ATen.h>

namespace wkv::reference {

inline at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                                 const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                                 const at::Tensor& attention_weights) {
  const int64_t B = value.size(0), M = value.size(2), D = value.size(3), Q = sampling_locations.size(1),
                P = sampling_locations.size(4);
  constexpr int64_t kBilinear = 0, kZeros = 0;
  at::Tensor y = at::zeros({B * M, D, Q}, value.options());
  for (int64_t l = 0; l < spatial_shapes.size(0); ++l) {
    const auto height = spatial_shapes[l][0].item<int64_t>(), width = spatial_shapes[l][1].item<int64_t>();
    const at::Tensor map = value.narrow(1, level_start_index[l].item<int64_t>(), height * width)
                               .permute({0, 2, 3, 1})
                               .reshape({B * M, D, height, width});
    const at::Tensor places = sampling_locations.select(3, l).transpose(1, 2).reshape({B * M, Q, P, 2}) * 2 - 1;
    const at::Tensor weights = attention_weights.select(3, l).transpose(1, 2).reshape({B * M, 1, Q, P});
    if (y.numel() == 0 || P == 0) continue;  // grid_sample takes no empty tensors
    y = y + (at::grid_sampler(map, places, kBilinear, kZeros, /*align_corners=*/false) * weights).sum(-1);
  }
  return y.reshape({B, M, D, Q}).permute({0, 3, 1, 2}).reshape({B, Q, M * D});
}

}  // namespace wkv::reference
