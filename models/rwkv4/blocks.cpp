// RWKV-4's blocks: the equations of the paper, on the op wkv4.
#include "rwkv4/blocks.h"

#include <cmath>
#include <span>

#include "layers/checkpointed_block.h"
#include "layers/recurrence.h"
#include "layers/token_shift.h"
#include "rwkv4/past_attention.h"

namespace wkv::models {
namespace {

// wkv4 takes exponents: half-precision models compute them in fp32.
at::Tensor exponent_precision(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

}  // namespace

std::vector<at::Tensor> mix_perspectives(const at::Tensor& x, at::Tensor& last, const std::vector<at::Tensor>& mixes,
                                         const Sequences& sequences) {
  if (mixes[0].dim() == 3) return mix_tokens(x, last, mixes, MixForm::of_token, sequences);
  // Each perspective's mixes are changes for its tokens.
  const int64_t perspectives = mixes[0].size(0), width = x.size(2), count = static_cast<int64_t>(mixes.size());
  const at::Tensor changes = (1 - at::stack(mixes)).to(x.scalar_type()).view({count, perspectives, 1, width});
  const at::Tensor for_tokens = changes.expand({count, perspectives, x.size(0) * x.size(1) / perspectives, width});
  const std::vector<at::Tensor> none(mixes.size(), at::zeros({1, 1, width}, x.options()));
  return mix_tokens(x, last, none, MixForm::of_predecessor, sequences,
                    for_tokens.reshape({count, x.size(0), x.size(1), width}));
}

at::Tensor empty_wkv4_state(int64_t channels, const at::TensorOptions& options) {
  at::Tensor state = at::zeros({3, channels}, options);
  state[2].fill_(-1e38);
  return state;
}

RWKV4TimeMix::RWKV4TimeMix(const RWKV4Options& o, const std::vector<int64_t>& mix_shape) {
  time_decay = register_parameter("time_decay", at::empty({o.attention_width}));
  time_first = register_parameter("time_first", at::empty({o.attention_width}));
  time_mix_k = register_parameter("time_mix_k", at::empty(mix_shape));
  time_mix_v = register_parameter("time_mix_v", at::empty(mix_shape));
  time_mix_r = register_parameter("time_mix_r", at::empty(mix_shape));
  key = register_module("key", std::make_shared<Linear>(o.width, o.attention_width));
  value = register_module("value", std::make_shared<Linear>(o.width, o.attention_width));
  receptance = register_module("receptance", std::make_shared<Linear>(o.width, o.attention_width));
  output = register_module("output", std::make_shared<Linear>(o.attention_width, o.width));
}

RWKV4TimeMix::Inputs RWKV4TimeMix::mixed(const at::Tensor& x, at::Tensor& shift, const Sequences& sequences) const {
  const auto inputs = mix_perspectives(x, shift, {time_mix_k, time_mix_v, time_mix_r}, sequences);
  return {.key = inputs[0], .value = inputs[1], .receptance = inputs[2]};
}

at::Tensor RWKV4TimeMix::average(const Inputs& inputs, at::Tensor& wkv, const Sequences& sequences) const {
  return average(inputs, time_decay, time_first, wkv, sequences);
}

at::Tensor RWKV4TimeMix::average(const Inputs& inputs, const at::Tensor& decay, const at::Tensor& first,
                                 at::Tensor& wkv, const Sequences& sequences) const {
  const at::Tensor k = key->forward_float(inputs.key);
  const at::Tensor v = value->forward_float(inputs.value);
  const at::Tensor y = wkv4(exponent_precision(decay), exponent_precision(first), k, v, wkv, sequences);
  return y.to(inputs.key.scalar_type());
}

at::Tensor RWKV4TimeMix::gated(const at::Tensor& average, const at::Tensor& receptance_input) const {
  return output->forward(at::sigmoid(receptance->forward(receptance_input)) * average);
}

at::Tensor RWKV4TimeMix::forward(const at::Tensor& x, at::Tensor& shift, at::Tensor& wkv,
                                 const Sequences& sequences) const {
  const Inputs inputs = mixed(x, shift, sequences);
  return gated(average(inputs, wkv, sequences), inputs.receptance);
}

at::Tensor channel_mix(const ReceptanceChannelMix& ffn, const at::Tensor& x, at::Tensor& shift,
                       const Sequences& sequences) {
  const auto inputs = mix_perspectives(x, shift, {ffn.mix_k, ffn.mix_r}, sequences);
  return ffn.gated(inputs[0], inputs[1]);
}

std::vector<ParameterGroup> rwkv4_parameter_groups(const torch::nn::Module& model) {
  ParameterGroup plain, decays{.names = {}, .learning_rate_scale = 2}, bonuses{.names = {}, .learning_rate_scale = 3},
      matrices{.names = {}, .weight_decay = true};
  for (const auto& parameter : model.named_parameters()) {
    const std::string& name = parameter.key();
    if (name.ends_with("_decay")) {
      decays.names.push_back(name);
    } else if (name.ends_with("_first")) {
      bonuses.names.push_back(name);
    } else if (name.ends_with(".weight") && parameter.value().dim() >= 2) {
      matrices.names.push_back(name);
    } else {
      plain.names.push_back(name);
    }
  }
  return {plain, decays, bonuses, matrices};
}

RWKV4Block::RWKV4Block(const RWKV4Options& o, int64_t layer, const std::vector<int64_t>& mix_shape) {
  const auto norm = [&](const char* name) { return register_module(name, std::make_shared<LayerNorm>(o.width)); };
  const auto mix_channels = [&](const char* name) {
    return register_module(name,
                           std::make_shared<ReceptanceChannelMix>(o.width, o.ffn_width, MixForm::of_token, mix_shape));
  };
  if (layer == 0) ln0 = norm("ln0");
  ln1 = norm("ln1");
  ln2 = norm("ln2");
  if (layer == 0 && o.pre_ffn) {
    ffn_pre = mix_channels("ffnPre");
  } else {
    att = register_module("att", std::make_shared<RWKV4TimeMix>(o, mix_shape));
  }
  ffn = mix_channels("ffn");
  if (o.tiny_att_dim > 0 && layer == o.tiny_att_layer) {
    tiny_ln = norm("tiny_ln");
    tiny_q = register_module("tiny_q", std::make_shared<Linear>(o.width, o.tiny_att_dim));
    tiny_k = register_module("tiny_k", std::make_shared<Linear>(o.width, o.tiny_att_dim));
    tiny_v = register_module("tiny_v", std::make_shared<Linear>(o.width, o.width));
    register_buffer("tiny_mask", causal_mask(o.context));
  }
}

at::Tensor RWKV4Block::forward(at::Tensor x, const at::Tensor& embedding, State::Entry* entry,
                               const Sequences& sequences) const {
  const auto next = [&]() -> at::Tensor& { return (entry++)->tensor; };
  at::Tensor& shift = next();
  if (ffn_pre) {
    x = x + channel_mix(*ffn_pre, ln1->forward(x), shift, sequences);
  } else {
    x = x + att->forward(ln1->forward(x), shift, next(), sequences);
  }
  x = x + channel_mix(*ffn, ln2->forward(x), next(), sequences);
  if (!tiny_ln) return x;
  at::Tensor &past_k = next(), &past_v = next();
  return x + tiny_attention(tiny_ln->forward(x), embedding, past_k, past_v, sequences);
}

at::Tensor run_blocks(const std::vector<std::shared_ptr<RWKV4Block>>& blocks, bool checkpointing, at::Tensor x,
                      const at::Tensor& embedding, State::Entry*& entry, const Sequences& sequences) {
  for (const auto& block : blocks) {
    const auto forward = [block, embedding, sequences](const at::Tensor& in, State::Entry* entries) {
      return block->forward(in, embedding, entries, sequences);
    };
    const std::span entries(entry, block->state_entries());
    x = run_block(checkpointing, *block, x, entries, forward, {embedding});
    entry += entries.size();
  }
  return x;
}

at::Tensor RWKV4Block::tiny_attention(const at::Tensor& x, const at::Tensor& embedding, at::Tensor& past_k,
                                      at::Tensor& past_v, const Sequences& sequences) const {
  const at::Tensor q = tiny_q->forward(x) / std::sqrt(static_cast<double>(tiny_q->outputs()));
  return attend_past(q, tiny_k->forward(x), tiny_v->forward(embedding), past_k, past_v, sequences,
                     [](const at::Tensor& scores, const at::Tensor& values) { return at::matmul(scores, values); });
}

}  // namespace wkv::models
