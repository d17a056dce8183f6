// The equations of RWKV-5: arXiv 2404.05892, and the code of its previews.
#include "rwkv5/time_mix.h"

#include "layers/precision.h"
#include "layers/recurrence.h"
#include "layers/token_shift.h"

namespace wkv::models {

RWKV5TimeMix::RWKV5TimeMix(const RWKV5Options& o) : heads(o.attention_width / o.head_size), head_size(o.head_size) {
  const auto mix = [&](const char* name) { return register_parameter(name, at::empty({1, 1, o.width})); };
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    return register_module(name, std::make_shared<Linear>(in, out));
  };
  const auto of_heads = [&](const char* name) {
    return register_parameter(name, o.per_channel ? at::empty({heads, head_size}) : at::empty({heads}));
  };
  time_mix_k = mix("time_mix_k");
  time_mix_v = mix("time_mix_v");
  time_mix_r = mix("time_mix_r");
  if (o.gate) time_mix_g = mix("time_mix_g");
  time_decay = of_heads("time_decay");
  (o.exponential_bonus ? time_first : time_faaaa) = of_heads(o.exponential_bonus ? "time_first" : "time_faaaa");
  receptance = linear("receptance", o.width, o.attention_width);
  key = linear("key", o.width, o.attention_width);
  value = linear("value", o.width, o.attention_width);
  if (o.gate) gate = linear("gate", o.width, o.attention_width);
  output = linear("output", o.attention_width, o.width);
  ln_x = register_module("ln_x", std::make_shared<HeadNorm>(heads, o.attention_width, o.ln_x_eps));
  if (o.time_state) time_state = register_parameter("time_state", at::zeros({heads, head_size, head_size}));
}

at::Tensor RWKV5TimeMix::forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv,
                                 const Sequences& sequences) const {
  std::vector<at::Tensor> mixes = {time_mix_r, time_mix_k, time_mix_v};
  if (gate) mixes.push_back(time_mix_g);
  const auto mixed = mix_tokens(x, shift, mixes, MixForm::of_token, sequences);
  const auto split = [&](const at::Tensor& t) { return t.view({x.size(0), x.size(1), heads, head_size}); };
  const auto by_head = [&](const at::Tensor& t) { return split(at_least_float(t)); };  // the op runs in fp32
  const auto by_channel = [&](const at::Tensor& t) {                                   // [H] or [H, N] to [H, N]
    return at_least_float(t).view({heads, -1}).expand({heads, head_size});
  };
  const at::Tensor r = by_head(receptance->forward(mixed[0]));
  const at::Tensor k = by_head(key->forward(mixed[1]));
  const at::Tensor v = by_head(value->forward(mixed[2]));
  const at::Tensor u = by_channel(time_first.defined() ? at_least_float(time_first).exp() : time_faaaa);
  const at::Tensor y = wkv5(r, k, v, by_channel(time_decay), u, wkv, sequences);
  if (!gate) return output->forward(ln_x->forward(y.flatten(2)).to(x.scalar_type()));
  return output->forward(ln_x->gated(y, split(gate->forward(mixed[3])), /*silu=*/true).flatten(2));
}

}  // namespace wkv::models
