// The equations of RWKV-6: arXiv 2404.05892, and the code of its variants.
#include "rwkv6/time_mix.h"

#include "layers/precision.h"
#include "layers/recurrence.h"
#include "layers/token_shift.h"
#include "rwkv6/options.h"

namespace wkv::models {

RWKV6TimeMix::RWKV6TimeMix(const RWKV6Options& o)
    : variant(o.variant), heads(o.width / o.head_size), head_size(o.head_size) {
  const auto parameter = [&](const char* name, at::IntArrayRef shape) {
    return register_parameter(name, at::empty(shape));
  };
  const auto vector = [&](const char* name) { return parameter(name, {1, 1, o.width}); };
  const auto square = [&](const char* name) {
    return register_module(name, std::make_shared<Linear>(o.width, o.width));
  };
  const bool gated = has_gate(variant);
  const int64_t inputs = gated ? 5 : 4;
  time_maa_x = vector("time_maa_x");
  time_maa_w = vector("time_maa_w");
  time_maa_k = vector("time_maa_k");
  time_maa_v = vector("time_maa_v");
  time_maa_r = vector("time_maa_r");
  if (gated) time_maa_g = vector("time_maa_g");
  mix_w1 = parameter(gated ? "time_maa_w1" : "time_maa_rkvw_w1", {o.width, inputs * o.ranks.mix});
  mix_w2 = parameter(gated ? "time_maa_w2" : "time_maa_rkvw_w2", {inputs, o.ranks.mix, o.width});
  time_decay = vector("time_decay");
  time_decay_w1 = parameter("time_decay_w1", {o.width, o.ranks.decay});
  time_decay_w2 = parameter("time_decay_w2", {o.ranks.decay, o.width});
  time_faaaa = parameter("time_faaaa", {heads, head_size});
  receptance = square("receptance");
  key = square("key");
  value = square("value");
  if (variant == RWKV6Variant::x060) gate = square("gate");
  if (variant == RWKV6Variant::x060a) {
    gate_w1 = parameter("gate_w1", {o.width, o.ranks.gate});
    gate_w2 = parameter("gate_w2", {o.ranks.gate, o.width});
  }
  output = square("output");
  ln_x = register_module("ln_x", std::make_shared<HeadNorm>(gated ? heads : 1, o.width, o.ln_x_eps));
  if (o.time_state) time_state = register_parameter("time_state", at::zeros({heads, head_size, head_size}));
}

at::Tensor RWKV6TimeMix::forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv,
                                 const Sequences& sequences) const {
  const at::Tensor difference = token_shift(x, shift, sequences);
  const int64_t inputs = mix_w2.size(0), rank = mix_w2.size(1);
  const at::Tensor decisive = at::tanh(at::matmul(mix_tokens(x, difference, time_maa_x), mix_w1));  // [B, T, n R]
  const at::Tensor added =
      at::bmm(decisive.view({x.size(0) * x.size(1), inputs, rank}).transpose(0, 1), mix_w2);  // [n, B T, C]
  // place: among the mixes, as upstream stacks them.
  const auto mixed = [&](const at::Tensor& mix, int64_t place) {
    return mix_tokens(x, difference, mix + added[place].view_as(x));
  };
  const int64_t w_place = has_gate(variant) ? 0 : 3, r_place = has_gate(variant) ? 3 : 0;  // w k v r g, or r k v w
  const auto by_head = [&](const at::Tensor& t) {  // the op and the norm behind it run in fp32
    return at_least_float(t).view({x.size(0), x.size(1), heads, head_size});
  };

  const at::Tensor w_change =
      at::matmul(at::tanh(at::matmul(mixed(time_maa_w, w_place), time_decay_w1)), time_decay_w2);
  const at::Tensor w = by_head(at_least_float(time_decay) + w_change);
  at::Tensor k = by_head(key->forward(mixed(time_maa_k, 1)));
  if (variant == RWKV6Variant::x060c) k = k * -at::expm1(-w.exp());
  const at::Tensor v = by_head(value->forward(mixed(time_maa_v, 2)));
  const at::Tensor r = by_head(receptance->forward(mixed(time_maa_r, r_place)));
  const at::Tensor y = wkv6(r, k, v, w, at_least_float(time_faaaa), wkv, sequences);

  at::Tensor out = ln_x->forward(y.flatten(2)).to(x.scalar_type());
  if (has_gate(variant)) {
    const at::Tensor g = mixed(time_maa_g, 4);
    out = out * (gate ? at::silu(gate->forward(g)) : at::matmul(at::tanh(at::matmul(g, gate_w1)), gate_w2));
  }
  return output->forward(out);
}

}  // namespace wkv::models
