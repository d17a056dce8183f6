// The decoding step of RWKV-7 on CUDA: seven kernels a layer, none of which waits for the host.
#include <algorithm>

#include "decode_step/decode_launches.h"
#include "rwkv7_blocks/decode_head.cuh"
#include "rwkv7_blocks/rwkv7_blocks_cuda.h"

namespace wkv::cuda {
namespace {

template <class P>
class Rwkv7Step {
 public:
  Rwkv7Step(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x)
      : model_(model), batch_(batch), width_(model.heads * model.head_size), launches_(slots, batch, width_, x) {
    int64_t ffn_width = 0, ranks[kLowRanks] = {};
    for (const Layer* layer = model.layers; layer != model.layers + model.layer_count; ++layer) {
      ffn_width = std::max(ffn_width, layer->ffn_key.rows);
      for (int i = 0; i < kLowRanks; ++i) ranks[i] = std::max(ranks[i], low_rank(*layer, i).rank);
    }
    for (float*& rows : mixed_) rows = launches_.rows(width_);
    for (float** rows : {&receptance_, &key_, &value_, &first_value_, &gated_, &ffn_mixed_}) {
      *rows = launches_.rows(width_);
    }
    for (int i = 0; i < kLowRanks; ++i) hidden_[i] = launches_.rows(ranks[i]);
    ffn_hidden_ = launches_.rows(ffn_width);
  }

  void run() {
    for (int64_t i = 0; i < model_.layer_count; ++i) run_layer(model_.layers[i], i == 0);
  }

 private:
  using Layer = rwkv7::DecodeLayer;
  enum Mixed { kOfReceptance, kOfDecay, kOfKey, kOfValue, kOfRate, kOfGate, kMixes };

  static const rwkv7::DecodeLowRank& low_rank(const Layer& layer, int i) {
    switch (i) {
      case kDecay:
        return layer.decay;
      case kRate:
        return layer.rate;
      case kGate:
        return layer.gate;
      default:
        return layer.value_residual;
    }
  }

  void run_layer(const Layer& layer, bool first) {
    ShiftAndMix att = {.slots = launches_.slots(layer.states),
                       .weight = layer.ln1_weight,
                       .bias = layer.ln1_bias,
                       .shifts = layer.states.att_shift,
                       .stride = layer.states.att_shift_stride,
                       .count = kMixes,
                       .mixes = {layer.x_r, layer.x_w, layer.x_k, layer.x_v, layer.x_a, layer.x_g}};
    std::copy_n(mixed_, kMixes, att.mixed);
    launches_.shift_and_mix(att);
    multiply_inputs(layer, first);
    for_head_size(model_.head_size, [&](auto size) {
      launches_.launch(rwkv7_decode_head_kernel<P, size()>, batch_ * model_.heads, kHeadThreads,
                       rwkv7_decode_head_shared_bytes(model_.head_size), head_of(layer, first));
    });
    launches_.add_product(layer.output, gated_, layer.att_bias);

    launches_.shift_and_mix({.slots = launches_.slots(layer.states),
                             .weight = layer.ln2_weight,
                             .bias = layer.ln2_bias,
                             .shifts = layer.states.ffn_shift,
                             .stride = layer.states.ffn_shift_stride,
                             .count = 1,
                             .mixes = {layer.ffn_x_k},
                             .mixed = {ffn_mixed_}});
    Product key = product_of(layer.ffn_key, ffn_mixed_, ffn_hidden_);
    key.outcome = Outcome::kSquaredRelu;
    launches_.multiply({key});
    launches_.add_product(layer.ffn_value, ffn_hidden_, nullptr);
  }

  // Receptance, key and value, and the first halves of the products of low rank.
  void multiply_inputs(const Layer& layer, bool first) {
    constexpr Mixed kFrom[kLowRanks] = {kOfDecay, kOfRate, kOfGate, kOfValue};
    constexpr Outcome kOutcomes[kLowRanks] = {Outcome::kTanh, Outcome::kStore, Outcome::kSigmoid, Outcome::kStore};
    const auto down = [&](LowRank i) {
      return Product{.matrix = low_rank(layer, i).down,
                     .by_columns = true,
                     .inputs = width_,
                     .outputs = i == kResidual && first ? 0 : low_rank(layer, i).rank,
                     .x = mixed_[kFrom[i]],
                     .y = hidden_[i],
                     .outcome = kOutcomes[i]};
    };
    // The longest first, those by columns: each of their threads reads one line after the other.
    launches_.multiply({down(kDecay), down(kRate), down(kGate), down(kResidual),
                        product_of(layer.receptance, mixed_[kOfReceptance], receptance_),
                        product_of(layer.key, mixed_[kOfKey], key_),
                        product_of(layer.value, mixed_[kOfValue], value_)});
  }

  Rwkv7DecodeHead head_of(const Layer& layer, bool first) const {
    Rwkv7DecodeHead head = {.heads = model_.heads,
                            .head_size = model_.head_size,
                            .eps = model_.ln_x_eps,
                            .parameters = {.w0 = layer.decay.bias,
                                           .a0 = layer.rate.bias,
                                           .v0 = first ? nullptr : layer.value_residual.bias,
                                           .k_k = layer.k_k,
                                           .k_a = layer.k_a,
                                           .ln_x_weight = layer.ln_x_weight,
                                           .ln_x_bias = layer.ln_x_bias,
                                           .r_k = layer.r_k},
                            .receptance = receptance_,
                            .key = key_,
                            .value = value_,
                            .first_value = first_value_,
                            .first = first,
                            .slots = launches_.slots(layer.states),
                            .states = layer.states.wkv,
                            .stride = layer.states.wkv_stride,
                            .gated = gated_};
    for (int i = 0; i < kLowRanks; ++i) {
      head.up[i] = low_rank(layer, i).up;
      head.rank[i] = i == kResidual && first ? 0 : low_rank(layer, i).rank;
      head.hidden[i] = hidden_[i];
    }
    return head;
  }

  const rwkv7::Decode& model_;
  const int64_t batch_, width_;
  DecodeLaunches<P> launches_;
  float *mixed_[kMixes], *receptance_, *key_, *value_, *first_value_, *gated_, *ffn_mixed_, *ffn_hidden_;  // by columns
  float* hidden_[kLowRanks];
};

}  // namespace

bool rwkv7_can_decode(const rwkv7::Decode& model) {
  return rwkv7::knows_sizes(model.heads, model.head_size) &&
         std::all_of(model.layers, model.layers + model.layer_count, [](const rwkv7::DecodeLayer& layer) {
           return can_multiply(
               {layer.receptance, layer.key, layer.value, layer.output, layer.ffn_key, layer.ffn_value});
         });
}

void rwkv7_decode(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x) {
  if (batch == 0) return;
  for_parameter_type(model.type, [&](auto p) { Rwkv7Step<decltype(p)>(model, slots, batch, x).run(); });
}

}  // namespace wkv::cuda
