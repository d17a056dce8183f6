// The equations of RWKV-6: arXiv 2404.05892, and the code of its variants.
#include "rwkv6/time_mix.h"

#include "layers/precision.h"
#include "layers/product.h"
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
  const int64_t inputs = mix_w2.size(0), rank = mix_w2.size(1);
  const bool gated = has_gate(variant);
  // What decides how the others are mixed.
  const at::Tensor before = sequences.read(shift).to(x.scalar_type());
  const at::Tensor deciding =
      std::get<0>(ops::mix_tokens(x, before, time_maa_x.squeeze(1), std::nullopt, sequences.cu_seqlens)).squeeze(0);
  const at::Tensor decisive = at::tanh(matrix_product(deciding, mix_w1));  // [B, T, n R]
  const at::Tensor changes =
      batched_product(decisive.view({x.size(0) * x.size(1), inputs, rank}).transpose(0, 1), mix_w2);  // [n, B T, C]
  // The mixes in the order in which upstream stacks them: w k v r g, or r k v w.
  std::vector<at::Tensor> mixes = {time_maa_r, time_maa_k, time_maa_v, time_maa_w};
  if (gated) mixes = {time_maa_w, time_maa_k, time_maa_v, time_maa_r, time_maa_g};
  const auto mixed = mix_tokens(x, shift, mixes, MixForm::of_predecessor, sequences,
                                changes.view({inputs, x.size(0), x.size(1), x.size(2)}));
  const at::Tensor &for_w = mixed[gated ? 0 : 3], &for_r = mixed[gated ? 3 : 0];
  const auto split = [&](const at::Tensor& t) { return t.view({x.size(0), x.size(1), heads, head_size}); };
  const auto by_head = [&](const at::Tensor& t) { return split(at_least_float(t)); };  // the op runs in fp32

  const at::Tensor w_change = matrix_product(at::tanh(matrix_product(for_w, time_decay_w1)), time_decay_w2);
  const at::Tensor w = by_head(at_least_float(time_decay) + w_change);
  at::Tensor k = by_head(key->forward(mixed[1]));
  if (variant == RWKV6Variant::x060c) k = k * -at::expm1(-w.exp());
  const at::Tensor v = by_head(value->forward(mixed[2]));
  const at::Tensor r = by_head(receptance->forward(for_r));
  const at::Tensor y = wkv6(r, k, v, w, at_least_float(time_faaaa), wkv, sequences);

  if (!gated) return output->forward(ln_x->forward(y.flatten(2)).to(x.scalar_type()));
  const at::Tensor g =
      gate ? gate->forward(mixed[4]) : matrix_product(at::tanh(matrix_product(mixed[4], gate_w1)), gate_w2);
  return output->forward(ln_x->gated(y, split(g), /*silu=*/gate != nullptr).flatten(2));
}

}  // namespace wkv::models
