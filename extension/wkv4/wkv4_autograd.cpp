// wkv4 and wkv4_decode_ for PyTorch's other layers, and their typed calls.
#include "core/autograd.h"
#include "wkv/ops.h"
#include "wkv4/wkv4_check.h"

namespace wkv {
namespace {

struct Wkv4Op {
  static constexpr const char* kName = "wkv4";
  using Outputs = std::tuple<Tensor, Tensor>;
  using Signature = Outputs(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                            const OptionalTensor& state, const OptionalTensor& cu_seqlens);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4};
  static constexpr std::array kAutocast{2, 3};

  static void check(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                    const OptionalTensor& state, const OptionalTensor& cu_seqlens) {
    check_wkv4(op, w, u, k, v, state, cu_seqlens);
  }
  static Outputs meta(const Tensor&, const Tensor&, const Tensor& k, const Tensor&, const OptionalTensor&,
                      const OptionalTensor& cu_seqlens) {
    return {empty_of_shape(k.sym_sizes().vec(), k.options()),
            empty_of_shape({sequence_count(k, cu_seqlens), 3, k.sym_size(2)}, state_options(k))};
  }
};

struct Wkv4DecodeOp {
  static constexpr const char* kName = "wkv4_decode_";
  using Signature = Tensor(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, Tensor& pool,
                           const Tensor& slots);
  static constexpr std::array kAutocast{2, 3};

  static void check(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                    const Tensor& pool, const Tensor& slots) {
    check_wkv4_decode(op, w, u, k, v, pool, slots);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor& k, const Tensor&, const Tensor&, const Tensor&) {
    return empty_of_shape(k.sym_sizes().vec(), k.options());
  }
};

}  // namespace

std::tuple<Tensor, Tensor> ops::wkv4(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                                     const OptionalTensor& state, const OptionalTensor& cu_seqlens) {
  return call<Wkv4Op>(w, u, k, v, state, cu_seqlens);
}

Tensor ops::wkv4_decode_(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, Tensor& pool,
                         const Tensor& slots) {
  return call<Wkv4DecodeOp>(w, u, k, v, pool, slots);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::Wkv4Op)
WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::Wkv4DecodeOp)
