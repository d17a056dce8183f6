// The equations: arXiv 2403.02308, section 3.2, and the code of OpenGVLab/Vision-RWKV.
#include "vrwkv/spatial_mix.h"

#include "layers/in_place.h"
#include "layers/precision.h"

namespace wkv::models {

VRWKVSpatialMix::VRWKVSpatialMix(int64_t width, bool with_key_norm, const QuadShift& shift_, int64_t compat_chunks_)
    : shift(shift_), compat_chunks(compat_chunks_) {
  const auto square = [&](const char* name) { return register_module(name, std::make_shared<Linear>(width, width)); };
  spatial_decay = register_parameter("spatial_decay", at::empty({width}));
  spatial_first = register_parameter("spatial_first", at::empty({width}));
  if (shift.pixels > 0) {
    spatial_mix_k = register_parameter("spatial_mix_k", at::empty({1, 1, width}));
    spatial_mix_v = register_parameter("spatial_mix_v", at::empty({1, 1, width}));
    spatial_mix_r = register_parameter("spatial_mix_r", at::empty({1, 1, width}));
  }
  key = square("key");
  value = square("value");
  receptance = square("receptance");
  output = square("output");
  if (with_key_norm) key_norm = register_module("key_norm", std::make_shared<LayerNorm>(width));
}

at::Tensor VRWKVSpatialMix::forward(const at::Tensor& x, const PatchGrid& grid) const {
  at::Tensor k, v, r;
  {  // the mixes' memory is free before the op asks for some
    at::Tensor for_k = x, for_v = x, for_r = x;
    if (shift.pixels > 0) {
      const auto mixed = mix_neighbours(x, grid, shift, {1 - spatial_mix_k, 1 - spatial_mix_v, 1 - spatial_mix_r});
      for_k = mixed[0];
      for_v = mixed[1];
      for_r = mixed[2];
    }
    k = key->forward(for_k);
    v = value->forward(for_v);
    r = receptance->forward(for_r);
  }
  const double tokens = static_cast<double>(x.size(1));
  at::Tensor y =
      ops::bi_wkv(at_least_float(spatial_decay) / tokens, at_least_float(spatial_first) / tokens, k, v, compat_chunks);
  if (key_norm) y = key_norm->forward(y);
  return output->forward(times(sigmoid_of(r), y));
}

}  // namespace wkv::models
