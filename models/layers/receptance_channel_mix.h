// The channel mix of RWKV-4, 5 and 6: sigmoid(Wr x_r) * Wv relu(Wk x_k)^2, x_r and x_k mixed with their predecessors.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "layers/linear.h"
#include "layers/token_shift.h"

namespace wkv::models {

inline std::string mix_name(MixForm form, const char* suffix) {
  return (form == MixForm::of_token ? "time_mix_" : "time_maa_") + std::string(suffix);
}

struct ReceptanceChannelMix : torch::nn::Module {
  // mix_shape: of the two mixes, [1, 1, C] or, for several perspectives, [P, 1, 1, C].
  ReceptanceChannelMix(int64_t width, int64_t ffn_width, MixForm form_, const std::vector<int64_t>& mix_shape)
      : form(form_),
        mix_k(register_parameter(mix_name(form_, "k"), at::empty(mix_shape))),
        mix_r(register_parameter(mix_name(form_, "r"), at::empty(mix_shape))),
        key(register_module("key", std::make_shared<Linear>(width, ffn_width))),
        receptance(register_module("receptance", std::make_shared<Linear>(width, width))),
        value(register_module("value", std::make_shared<Linear>(ffn_width, width))) {}

  // x [B, T, C], normalised; shift [rows, C] becomes its value after the last token.
  at::Tensor forward(const at::Tensor& x, at::Tensor& shift, const Sequences& sequences) const {
    const auto mixed = mix_tokens(x, shift, {mix_k, mix_r}, form, sequences);
    return gated(mixed[0], mixed[1]);
  }
  // The same from inputs that are mixed already.
  at::Tensor gated(const at::Tensor& key_input, const at::Tensor& receptance_input) const {
    const at::Tensor gate = at::sigmoid(receptance->forward(receptance_input));
    return gate * value->forward(ops::squared_relu(key->forward(key_input)));
  }

  MixForm form;
  at::Tensor mix_k, mix_r;
  std::shared_ptr<Linear> key, receptance, value;
};

}  // namespace wkv::models
