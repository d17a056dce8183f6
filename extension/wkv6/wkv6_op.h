// wkv6 and wkv5 for PyTorch's other layers: what their descriptions (core/autograd.h) share.
#pragma once
#include "core/autograd.h"
#include "wkv6/wkv6_check.h"

namespace wkv {

template <Decay kDecay>
struct Wkv6Description {
  using Outputs = std::tuple<Tensor, Tensor>;
  using Signature = Outputs(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                            const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool log_decay);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4, 5};
  static constexpr std::array kAutocast{0, 1, 2};

  static void check(const char* op, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                    const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool) {
    check_wkv6(op, kDecay, r, k, v, w, u, state, cu_seqlens);
  }
  static Outputs meta(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor&, const Tensor&,
                      const OptionalTensor&, const OptionalTensor& cu_seqlens, bool) {
    return {
        empty_of_shape(v.sym_sizes().vec(), v.options()),
        empty_of_shape({sequence_count(k, cu_seqlens), k.sym_size(2), v.sym_size(3), k.sym_size(3)}, state_options(r))};
  }
};

template <Decay kDecay>
struct Wkv6DecodeDescription {
  using Signature = Tensor(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                           Tensor& pool, const Tensor& slots);
  static constexpr std::array kAutocast{0, 1, 2};

  static void check(const char* op, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                    const Tensor& pool, const Tensor& slots) {
    check_wkv6_decode(op, kDecay, r, k, v, w, u, pool, slots);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor& v, const Tensor&, const Tensor&, const Tensor&,
                     const Tensor&) {
    return empty_of_shape(v.sym_sizes().vec(), v.options());
  }
};

}  // namespace wkv
