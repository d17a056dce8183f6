#include "rrwkv/blocks.h"

#include <cmath>

#include "layers/token_shift.h"

namespace wkv::models {

RRWKVTimeMix::RRWKVTimeMix(const RRWKVOptions& o) : RWKV4TimeMix(o.base, {1, 1, o.base.width}), interval_(o.interval) {
  const int64_t width = o.base.width;
  medium_mix_k = register_parameter("medium_mix_k", at::empty({1, 1, width}));
  medium_mix_v = register_parameter("medium_mix_v", at::empty({1, 1, width}));
  medium_mix_r = register_parameter("medium_mix_r", at::empty({1, 1, width}));
  medium_out = register_parameter("medium_out", at::empty({width}));
  medium_decay = register_parameter("medium_decay", at::empty({width}));
  medium_first = register_parameter("medium_first", at::empty({width}));
  excite_down = register_module("excite_down", std::make_shared<Linear>(width, o.excite_width));
  excite_up = register_module("excite_up", std::make_shared<Linear>(o.excite_width, width));
}

Retrospect RRWKVTimeMix::look_back(const at::Tensor& x, State::Entry* entry, const Segments& segments,
                                   const Sequences& sequences) const {
  const auto next = [&]() -> at::Tensor& { return (entry++)->tensor; };
  at::Tensor &seg = next(), &med = next(), &medium_wkv = next(), &ret = next();

  const at::Tensor sums = segments.sums(x.flatten(0, 1), sequences.read(seg));
  at::Tensor open = sums, mediums, averages;
  if (segments.ending > 0) {                        // rare when decoding
    open = sums.slice(0, segments.ending).clone();  // a view would keep all of `sums` in the state
    const at::Tensor mean = (sums.slice(0, 0, segments.ending) / static_cast<double>(interval_)).to(x.scalar_type());
    mediums = mean * (2 * at::sigmoid(excite_up->forward(at::relu(excite_down->forward(mean)))));
    const Inputs inputs = {.key = mediums.unsqueeze(0), .value = mediums.unsqueeze(0), .receptance = {}};
    at::Tensor wkv = sequences.read(medium_wkv);
    averages = average(inputs, medium_decay, medium_first, wkv, segments.mediums).squeeze(0);
    sequences.write(medium_wkv, wkv);
  }
  sequences.write(seg, open);
  const auto each = [&](at::Tensor& entry_rows, const at::Tensor& ended) {
    const at::Tensor last = sequences.read(entry_rows).to(x.scalar_type());
    if (segments.ending > 0) sequences.write(entry_rows, segments.newest(last, ended));
    return segments.before_each(last, ended).view(x.sizes());
  };
  return {.medium = each(med, mediums), .average = each(ret, averages)};
}

at::Tensor RRWKVTimeMix::forward(const at::Tensor& x, const Retrospect& past, at::Tensor& shift, at::Tensor& wkv,
                                 const Sequences& sequences) const {
  Inputs inputs = mixed(x, shift, sequences);
  inputs.key = at::addcmul(inputs.key, medium_mix_k, past.medium);
  inputs.value = at::addcmul(inputs.value, medium_mix_v, past.medium);
  inputs.receptance = at::addcmul(inputs.receptance, medium_mix_r, past.medium);
  return gated(at::addcmul(average(inputs, wkv, sequences), medium_out, past.average), inputs.receptance);
}

void RRWKVTimeMix::initialise_mediums(Depth depth) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& none : {medium_mix_k, medium_mix_v, medium_mix_r, medium_out, medium_first, excite_up->weight})
    torch::nn::init::zeros_(none);
  const double last = std::max(static_cast<double>(medium_decay.numel()) - 1, 1.0), curve = 0.7 + 1.3 * depth.up;
  set_channels(medium_decay, [&](double n) { return -6 + 6 * std::pow(n / last, curve); });
  torch::nn::init::orthogonal_(excite_down->weight);
}

RRWKVChannelMix::RRWKVChannelMix(const RWKV4Options& o)
    : ReceptanceChannelMix(o.width, o.ffn_width, MixForm::of_token, {1, 1, o.width}),
      medium_mix_k(register_parameter("medium_mix_k", at::empty({1, 1, o.width}))),
      medium_mix_r(register_parameter("medium_mix_r", at::empty({1, 1, o.width}))) {}

at::Tensor RRWKVChannelMix::forward(const at::Tensor& x, const Retrospect& past, at::Tensor& shift,
                                    const Sequences& sequences) const {
  const auto mixed = mix_tokens(x, shift, {mix_k, mix_r}, form, sequences);
  return gated(at::addcmul(mixed[0], medium_mix_k, past.average), at::addcmul(mixed[1], medium_mix_r, past.average));
}

void RRWKVChannelMix::initialise_mediums() {
  torch::nn::init::zeros_(medium_mix_k);
  torch::nn::init::zeros_(medium_mix_r);
}

RRWKVBlock::RRWKVBlock(const RRWKVOptions& o, int64_t layer) {
  const auto norm = [&](const char* name) { return register_module(name, std::make_shared<LayerNorm>(o.base.width)); };
  if (layer == 0) ln0 = norm("ln0");
  ln1 = norm("ln1");
  ln2 = norm("ln2");
  att = register_module("att", std::make_shared<RRWKVTimeMix>(o));
  ffn = register_module("ffn", std::make_shared<RRWKVChannelMix>(o.base));
}

at::Tensor RRWKVBlock::forward(at::Tensor x, State::Entry* entry, const Segments& segments,
                               const Sequences& sequences) const {
  const auto next = [&]() -> at::Tensor& { return (entry++)->tensor; };
  at::Tensor &att_x = next(), &wkv = next(), &ffn_x = next();
  const at::Tensor normalised = ln1->forward(x);
  const Retrospect past = att->look_back(normalised, entry, segments, sequences);
  x = x + att->forward(normalised, past, att_x, wkv, sequences);
  return x + ffn->forward(ln2->forward(x), past, ffn_x, sequences);
}

void RRWKVBlock::initialise_base(Depth depth) {
  for (const auto& norm : {ln0, ln1, ln2}) {
    if (norm) set_identity(*norm);
  }
  att->initialise(depth);
  initialise_channel_mix(*ffn, depth);
}

void RRWKVBlock::initialise_mediums(Depth depth) {
  att->initialise_mediums(depth);
  ffn->initialise_mediums();
}

}  // namespace wkv::models
