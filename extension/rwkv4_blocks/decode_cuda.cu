// The decoding step of RWKV-4 on CUDA: seven kernels a layer, none of which waits for the host.
#include <algorithm>

#include "decode_step/decode_launches.h"
#include "rwkv4_blocks/recurrence.cuh"
#include "wkv/rwkv4_blocks.h"

namespace wkv::cuda {
namespace {

template <class P>
class Rwkv4Step {
 public:
  Rwkv4Step(const rwkv4::Decode& model, const int64_t* slots, int64_t batch, float* x)
      : model_(model), batch_(batch), x_(x), launches_(slots, batch, model.width, x) {
    int64_t ffn_width = 0;
    for (const Layer* layer = model.layers; layer != model.layers + model.layer_count; ++layer) {
      ffn_width = std::max(ffn_width, layer->ffn_key.rows);
    }
    for (float*& rows : mixed_) rows = launches_.rows(model.width);
    for (float** rows : {&key_, &value_, &receptance_, &gated_}) *rows = launches_.rows(model.width);
    ffn_hidden_ = launches_.rows(ffn_width);
  }

  void run() {
    for (const Layer* layer = model_.layers; layer != model_.layers + model_.layer_count; ++layer) run_layer(*layer);
  }

 private:
  using Layer = rwkv4::DecodeLayer;

  void run_layer(const Layer& layer) {
    launches_.shift_and_mix({.slots = launches_.slots(layer.states),
                             .weight = layer.ln1_weight,
                             .bias = layer.ln1_bias,
                             .shifts = layer.states.att_shift,
                             .stride = layer.states.att_shift_stride,
                             .of_token = true,
                             .count = 3,
                             .mixes = {layer.time_mix_k, layer.time_mix_v, layer.time_mix_r},
                             .mixed = {mixed_[0], mixed_[1], mixed_[2]}});
    launches_.multiply({product_of(layer.key, mixed_[0], key_), product_of(layer.value, mixed_[1], value_),
                        product_of(layer.receptance, mixed_[2], receptance_)});
    const Rwkv4Recurrence recurrence = {.rows = batch_,
                                        .width = model_.width,
                                        .key = key_,
                                        .value = value_,
                                        .receptance = receptance_,
                                        .decay = layer.time_decay,
                                        .first = layer.time_first,
                                        .slots = launches_.slots(layer.states),
                                        .states = layer.states.wkv,
                                        .stride = layer.states.wkv_stride,
                                        .gated = gated_};
    launches_.launch(rwkv4_recurrence_kernel<P>, (batch_ * model_.width + kRecurrenceThreads - 1) / kRecurrenceThreads,
                     kRecurrenceThreads, 0, recurrence);
    launches_.add_product(layer.output, gated_, nullptr);

    launches_.shift_and_mix({.slots = launches_.slots(layer.states),
                             .weight = layer.ln2_weight,
                             .bias = layer.ln2_bias,
                             .shifts = layer.states.ffn_shift,
                             .stride = layer.states.ffn_shift_stride,
                             .of_token = true,
                             .count = 2,
                             .mixes = {layer.ffn_time_mix_k, layer.ffn_time_mix_r},
                             .mixed = {mixed_[0], mixed_[1]}});
    Product hidden = product_of(layer.ffn_key, mixed_[0], ffn_hidden_);
    hidden.outcome = Outcome::kSquaredRelu;
    launches_.multiply({hidden, product_of(layer.ffn_receptance, mixed_[1], receptance_)});
    Product value = product_of(layer.ffn_value, ffn_hidden_, x_);
    value.outcome = Outcome::kAddGated;
    value.gate = receptance_;
    launches_.multiply({value});
  }

  const rwkv4::Decode& model_;
  const int64_t batch_;
  float* const x_;
  DecodeLaunches<P> launches_;
  float *mixed_[3], *key_, *value_, *receptance_, *gated_, *ffn_hidden_;
};

bool can_decode(const rwkv4::Decode& model) {
  return std::all_of(model.layers, model.layers + model.layer_count, [&](const rwkv4::DecodeLayer& layer) {
    return layer.key.rows == model.width && can_multiply({layer.key, layer.value, layer.receptance, layer.output,
                                                          layer.ffn_key, layer.ffn_receptance, layer.ffn_value});
  });
}

void decode(const rwkv4::Decode& model, const int64_t* slots, int64_t batch, float* x) {
  if (batch == 0) return;
  for_parameter_type(model.type, [&](auto p) { Rwkv4Step<decltype(p)>(model, slots, batch, x).run(); });
}

constexpr rwkv4::Functions kFunctions = {.can_decode = can_decode, .decode = decode};
[[maybe_unused]] const bool known = (rwkv4::register_functions(kDevice, &kFunctions), true);

}  // namespace
}  // namespace wkv::cuda
