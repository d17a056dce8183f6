// The decoding step of RWKV-4, in the phases of kernels that run one after the other on all threads. To be included by
// rwkv4_blocks_isa.cpp only.
#pragma once
#include "decode_step/decode_step_isa.h"
#include "rwkv4_blocks/rwkv4_blocks.h"

namespace wkv::WKV_ISA {

template <class P>
class Rwkv4Step : DecodePhases<P> {
 public:
  explicit Rwkv4Step(const Rwkv4DecodeStep& step) : DecodePhases<P>(step), r_(step) {}

  void run() {
    for (int64_t i = 0; i < r_.model.layer_count; ++i) run_layer(r_.model.layers[i]);
  }

 private:
  using Layer = rwkv4::DecodeLayer;
  using DecodePhases<P>::s_;
  using DecodePhases<P>::width_;
  using DecodePhases<P>::of;

  void run_layer(const Layer& layer) {
    const void* const att_mixes[] = {layer.time_mix_k, layer.time_mix_v, layer.time_mix_r};
    this->template shift_and_mix<true>(layer.ln1_weight, layer.ln1_bias, layer.states.att_shift,
                                       layer.states.att_shift_stride, kRwkv4Mixes, att_mixes, r_.mixed);
    this->multiply_all({{layer.key, r_.mixed[0], r_.key},
                        {layer.value, r_.mixed[1], r_.value},
                        {layer.receptance, r_.mixed[2], r_.receptance}},
                       0, [](int64_t) {});
    this->worker_.run(s_.batch, [&](int64_t row) { run_recurrence(layer, row); });
    this->add_product(layer.output, r_.gated, nullptr);

    const void* const ffn_mixes[] = {layer.ffn_time_mix_k, layer.ffn_time_mix_r};
    this->template shift_and_mix<true>(layer.ln2_weight, layer.ln2_bias, layer.states.ffn_shift,
                                       layer.states.ffn_shift_stride, 2, ffn_mixes, r_.ffn_mixed);
    this->multiply_all({{layer.ffn_key, r_.ffn_mixed[0], r_.ffn_hidden.values},
                        {layer.ffn_receptance, r_.ffn_mixed[1], r_.receptance}},
                       0, [](int64_t) {});
    add_channel_mix(layer);
  }

  // wkv4's step for all channels of a sequence, and its gate.
  void run_recurrence(const Layer& layer, int64_t row) const {
    float* const state = layer.states.wkv + s_.slots[row] * layer.states.wkv_stride;
    float *const numerators = state, *const denominators = state + width_, *const exponents = state + 2 * width_;
    const int64_t at = row * width_;
    for_vectors(width_, [&](int64_t i) {
      const Vec<float> k = load(r_.key + at + i), v = load(r_.value + at + i), before = load(exponents + i);
      const Vec<float> numerator = load(numerators + i), denominator = load(denominators + i);
      const Vec<float> now = k + load_as(of(layer.time_first) + i), most = max(before, now);
      const Vec<float> old_part = exp(before - most), new_part = exp(now - most);
      const Vec<float> average = fma(old_part, numerator, new_part * v) / fma(old_part, denominator, new_part);
      store(r_.gated.values + at + i, sigmoid(load(r_.receptance + at + i)) * average);

      const Vec<float> decayed = before - exp(load_as(of(layer.time_decay) + i)), next = max(decayed, k);
      const Vec<float> kept = exp(decayed - next), added = exp(k - next);
      store(numerators + i, fma(kept, numerator, added * v));
      store(denominators + i, fma(kept, denominator, added));
      store(exponents + i, next);
    });
    this->quantize(r_.gated, row, 0, width_);
  }

  // x += sigmoid(receptance) * value(relu(key)^2)
  void add_channel_mix(const Layer& layer) {
    const int64_t hidden = r_.ffn_hidden.columns;
    this->worker_.run(s_.batch, [&](int64_t row) {
      float* const values = r_.ffn_hidden.values + row * hidden;
      for_vectors(hidden, [&](int64_t i) { store(values + i, squared_relu(load(values + i))); });
      this->quantize(r_.ffn_hidden, row, 0, hidden);
    });
    this->multiply(layer.ffn_value, r_.ffn_hidden, [&](int64_t row, int64_t n, Vec<float> y) {
      const int64_t at = row * width_ + n;
      store(s_.x + at, fma(sigmoid(load(r_.receptance + at)), y, load(s_.x + at)));
    });
  }

  const Rwkv4DecodeStep& r_;
};

}  // namespace wkv::WKV_ISA
