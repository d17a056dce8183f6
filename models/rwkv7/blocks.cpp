// RWKV-7's time mix and channel mix: the equations of the paper, on the op wkv7.
#include "rwkv7/blocks.h"

#include "layers/product.h"
#include "layers/recurrence.h"
#include "layers/token_shift.h"

namespace wkv::models {
namespace {

at::Tensor low_rank(const at::Tensor& x, const at::Tensor& first, const at::Tensor& second) {
  return matrix_product(matrix_product(x, first), second);
}

}  // namespace

RWKV7TimeMix::RWKV7TimeMix(const RWKV7Options& o, int64_t layer_)
    : layer(layer_), layers(o.layers), heads(o.width / o.head_size), head_size(o.head_size), width(o.width) {
  const auto vector = [&](const char* name) { return register_parameter(name, at::empty({1, 1, width})); };
  const auto down = [&](const char* name, int64_t rank) { return register_parameter(name, at::empty({width, rank})); };
  const auto up = [&](const char* name, int64_t rank) { return register_parameter(name, at::empty({rank, width})); };
  x_r = vector("x_r");
  x_w = vector("x_w");
  x_k = vector("x_k");
  x_v = vector("x_v");
  x_a = vector("x_a");
  x_g = vector("x_g");
  w0 = vector("w0");
  w1 = down("w1", o.ranks.decay);
  w2 = up("w2", o.ranks.decay);
  a0 = vector("a0");
  a1 = down("a1", o.ranks.in_context_rate);
  a2 = up("a2", o.ranks.in_context_rate);
  if (layer > 0 || o.first_value_residual) {
    v0 = vector("v0");
    v1 = down("v1", o.ranks.value_residual);
    v2 = up("v2", o.ranks.value_residual);
  }
  g1 = down("g1", o.ranks.gate);
  g2 = up("g2", o.ranks.gate);
  k_k = vector("k_k");
  k_a = vector("k_a");
  r_k = register_parameter("r_k", at::empty({heads, head_size}));
  if (o.time_state) time_state = register_parameter("time_state", at::zeros({heads, head_size, head_size}));
  receptance = register_module("receptance", std::make_shared<Linear>(width, width));
  key = register_module("key", std::make_shared<Linear>(width, width));
  value = register_module("value", std::make_shared<Linear>(width, width));
  output = register_module("output", std::make_shared<Linear>(width, width));
  ln_x = register_module("ln_x", std::make_shared<HeadNorm>(heads, width, o.ln_x_eps));
}

at::Tensor RWKV7TimeMix::forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv, at::Tensor& first_value,
                                 const Sequences& sequences) const {
  const auto mixed = mix_tokens(x, shift, {x_r, x_w, x_k, x_v, x_a, x_g}, MixForm::of_predecessor, sequences);
  const auto by_head = [&](const at::Tensor& t) { return t.view({x.size(0), x.size(1), heads, head_size}); };
  const auto parameter = [&](const at::Tensor& t) { return t.view({heads, head_size}); };

  const at::Tensor r = by_head(receptance->forward(mixed[0])), key_product = by_head(key->forward(mixed[2])),
                   value_product = value->forward(mixed[3]);
  const at::Tensor decay = by_head(matrix_product(at::tanh(matrix_product(mixed[1], w1)), w2)),
                   rate = by_head(low_rank(mixed[4], a1, a2)),
                   gate = by_head(matrix_product(at::sigmoid(matrix_product(mixed[5], g1)), g2));
  const auto inputs = [&](const auto&... of_value) {
    return ops::wkv7_inputs(decay, rate, key_product, parameter(w0), parameter(a0), parameter(k_k), parameter(k_a),
                            of_value...);
  };
  if (layer == 0) first_value = value_product;
  auto [log_decay, k, removal, replacement, v] =
      layer == 0
          ? inputs()
          : inputs(by_head(value_product), by_head(first_value), by_head(low_rank(mixed[3], v1, v2)), parameter(v0));
  if (layer == 0) v = by_head(value_product);
  const at::Tensor y = wkv7(r, log_decay, k, v, removal, replacement, wkv, sequences);

  return output->forward(
      ops::gated_head_norm(y, ln_x->by_head(ln_x->weight), ln_x->by_head(ln_x->bias), gate, r, k, v, r_k, ln_x->eps)
          .flatten(2));
}

RWKV7ChannelMix::RWKV7ChannelMix(const RWKV7Options& o, int64_t layer_)
    : layer(layer_), layers(o.layers), width(o.width) {
  x_k = register_parameter("x_k", at::empty({1, 1, width}));
  key = register_module("key", std::make_shared<Linear>(width, o.ffn_width));
  value = register_module("value", std::make_shared<Linear>(o.ffn_width, width));
}

at::Tensor RWKV7ChannelMix::forward(const at::Tensor& x, at::Tensor& shift, const Sequences& sequences) const {
  const auto mixed = mix_tokens(x, shift, {x_k}, MixForm::of_predecessor, sequences);
  return value->forward(ops::squared_relu(key->forward(mixed[0])));
}

RWKV7Block::RWKV7Block(const RWKV7Options& o, int64_t layer) {
  if (layer == 0 && o.input_norm) ln0 = register_module("ln0", std::make_shared<LayerNorm>(o.width));
  ln1 = register_module("ln1", std::make_shared<LayerNorm>(o.width));
  ln2 = register_module("ln2", std::make_shared<LayerNorm>(o.width));
  att = register_module("att", std::make_shared<RWKV7TimeMix>(o, layer));
  ffn = register_module("ffn", std::make_shared<RWKV7ChannelMix>(o, layer));
  if (o.block_bias) att_bias = register_parameter("att_bias", at::empty({o.width}));
}

at::Tensor RWKV7Block::forward(at::Tensor x, State::Entry* entries, at::Tensor& first_value,
                               const Sequences& sequences) const {
  at::Tensor mixed = att->forward(ln1->forward(x), entries[0].tensor, entries[1].tensor, first_value, sequences);
  if (att_bias.defined()) mixed = mixed + att_bias;
  x = x + mixed;
  return x + ffn->forward(ln2->forward(x), entries[2].tensor, sequences);
}

}  // namespace wkv::models
