#include "rwkv_clip/text_time_mix.h"

#include "layers/precision.h"

namespace wkv::models {

at::Tensor bidirectional_shift(const at::Tensor& x, int64_t head_size) {
  const auto halves = x.unflatten(2, {-1, head_size}).chunk(2, 3);  // [B, T, H, N / 2]
  const at::Tensor before = at::constant_pad_nd(halves[0], {0, 0, 0, 0, 1, -1}),
                   after = at::constant_pad_nd(halves[1], {0, 0, 0, 0, -1, 1});
  return at::cat({before, after}, 3).flatten(2);
}

TextTimeMix::TextTimeMix(const RWKVCLIPOptions& o) : heads(o.width / o.text_head_size), head_size(o.text_head_size) {
  constexpr int64_t kMixRank = 32, kDecayRank = 64;  // whatever the width
  const auto parameter = [&](const char* name, at::IntArrayRef shape) {
    return register_parameter(name, at::empty(shape));
  };
  const auto vector = [&](const char* name) { return parameter(name, {1, 1, o.width}); };
  const auto square = [&](const char* name) {
    return register_module(name, std::make_shared<Linear>(o.width, o.width));
  };
  time_maa_x = vector("time_maa_x");
  time_maa_w = vector("time_maa_w");
  time_maa_k = vector("time_maa_k");
  time_maa_v = vector("time_maa_v");
  time_maa_r = vector("time_maa_r");
  time_maa_g = vector("time_maa_g");
  time_maa_w1 = parameter("time_maa_w1", {o.width, 5 * kMixRank});
  time_maa_w2 = parameter("time_maa_w2", {5, kMixRank, o.width});
  time_decay = vector("time_decay");
  time_decay_w1 = parameter("time_decay_w1", {o.width, kDecayRank});
  time_decay_w2 = parameter("time_decay_w2", {kDecayRank, o.width});
  time_faaaa = parameter("time_faaaa", {heads, head_size});
  receptance = square("receptance");
  key = square("key");
  value = square("value");
  gate = square("gate");
  output = square("output");
  const double eps = 1e-5 * o.head_size_divisor * o.head_size_divisor;
  ln_x = register_module("ln_x", std::make_shared<HeadNorm>(heads, o.width, eps));
}

at::Tensor TextTimeMix::forward(const at::Tensor& x) const {
  const int64_t batch = x.size(0), length = x.size(1), inputs = time_maa_w2.size(0), rank = time_maa_w2.size(1);
  const at::Tensor difference = bidirectional_shift(x, head_size) - x;
  // What decides how the others are mixed.
  const at::Tensor decisive = at::tanh(at::matmul(at::addcmul(x, difference, time_maa_x), time_maa_w1));  // [B, T, 5 R]
  const at::Tensor changes =
      at::bmm(decisive.view({batch * length, inputs, rank}).transpose(0, 1), time_maa_w2)  // [5, B T, C]
          .view({inputs, batch, length, x.size(2)});
  const auto mixed = [&](int64_t input, const at::Tensor& mix) {
    return at::addcmul(x, difference, mix + changes[input]);
  };
  const auto split = [&](const at::Tensor& t) { return t.view({batch, length, heads, head_size}); };
  const auto by_head = [&](const at::Tensor& t) { return split(at_least_float(t)); };  // the op runs in fp32

  const at::Tensor w_change = at::matmul(at::tanh(at::matmul(mixed(0, time_maa_w), time_decay_w1)), time_decay_w2);
  const at::Tensor w = by_head(at_least_float(time_decay) + w_change);
  const at::Tensor k = by_head(key->forward(mixed(1, time_maa_k)));
  const at::Tensor v = by_head(value->forward(mixed(2, time_maa_v)));
  const at::Tensor r = by_head(receptance->forward(mixed(3, time_maa_r)));
  const at::Tensor g = split(gate->forward(mixed(4, time_maa_g)));
  const at::Tensor y = ops::bi_wkv6(r, k, v, w, at_least_float(time_faaaa));
  return output->forward(ln_x->gated(y, g, /*silu=*/true).flatten(2));
}

}  // namespace wkv::models
