// The equations: arXiv 2404.05892 with the shift of arXiv 2403.02308, and the code of OpenGVLab/Vision-RWKV.
#include "vrwkv6/spatial_mix.h"

#include "layers/precision.h"
#include "layers/product.h"

namespace wkv::models {

VRWKV6SpatialMix::VRWKV6SpatialMix(int64_t width, bool with_key_norm, const QuadShift& shift_, double ln_x_eps)
    : shift(shift_) {
  constexpr int64_t kMixes = 5, kMixRank = 32, kDecayRank = 64;
  const int64_t heads = width / shift.head_size;
  const auto parameter = [&](const char* name, at::IntArrayRef shape) {
    return register_parameter(name, at::empty(shape));
  };
  const auto vector = [&](const char* name) { return parameter(name, {1, 1, width}); };
  const auto square = [&](const char* name) { return register_module(name, std::make_shared<Linear>(width, width)); };
  time_maa_x = vector("time_maa_x");
  time_maa_w = vector("time_maa_w");
  time_maa_k = vector("time_maa_k");
  time_maa_v = vector("time_maa_v");
  time_maa_r = vector("time_maa_r");
  time_maa_g = vector("time_maa_g");
  time_maa_w1 = parameter("time_maa_w1", {width, kMixes * kMixRank});
  time_maa_w2 = parameter("time_maa_w2", {kMixes, kMixRank, width});
  time_decay = vector("time_decay");
  time_decay_w1 = parameter("time_decay_w1", {width, kDecayRank});
  time_decay_w2 = parameter("time_decay_w2", {kDecayRank, width});
  time_faaaa = parameter("time_faaaa", {heads, shift.head_size});
  key = square("key");
  value = square("value");
  receptance = square("receptance");
  gate = square("gate");
  output = square("output");
  if (with_key_norm) key_norm = register_module("key_norm", std::make_shared<LayerNorm>(width));
  ln_x = register_module("ln_x", std::make_shared<HeadNorm>(heads, width, ln_x_eps));
}

at::Tensor VRWKV6SpatialMix::forward(const at::Tensor& x, const PatchGrid& grid) const {
  const int64_t inputs = time_maa_w2.size(0), rank = time_maa_w2.size(1), rows = x.size(0) * x.size(1);
  const std::vector<int64_t> by_head = {x.size(0), x.size(1), time_faaaa.size(0), shift.head_size};
  // What decides how the others are mixed.
  const at::Tensor decisive = at::tanh(matrix_product(mix_neighbours(x, grid, shift, {time_maa_x})[0], time_maa_w1));
  const at::Tensor changes =
      batched_product(decisive.view({rows, inputs, rank}).transpose(0, 1), time_maa_w2);  // [5, B T, C]
  const auto mixed = mix_neighbours(x, grid, shift, {time_maa_w, time_maa_k, time_maa_v, time_maa_r, time_maa_g},
                                    changes.view({inputs, x.size(0), x.size(1), x.size(2)}));

  const at::Tensor w_change = matrix_product(at::tanh(matrix_product(mixed[0], time_decay_w1)), time_decay_w2);
  const at::Tensor w = at_least_float(time_decay) + w_change;
  const at::Tensor k = key->forward(mixed[1]), v = value->forward(mixed[2]), r = receptance->forward(mixed[3]);
  at::Tensor y =
      ops::bi_wkv6(r.view(by_head), k.view(by_head), v.view(by_head), w.view(by_head), at_least_float(time_faaaa));
  if (key_norm) y = key_norm->forward(y.flatten(2)).view(by_head);
  const at::Tensor g = gate->forward(mixed[4]).view(by_head);
  return output->forward(ln_x->gated(y, g, /*silu=*/true).flatten(2));
}

}  // namespace wkv::models
