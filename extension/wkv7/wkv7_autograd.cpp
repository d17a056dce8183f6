// wkv7 for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "wkv/ops.h"
#include "wkv7/wkv7_check.h"

namespace wkv {
namespace {

struct Wkv7Op {
  static constexpr const char* kName = "wkv7";
  using Outputs = std::tuple<Tensor, Tensor>;
  using Signature = Outputs(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                            const Tensor& b, const OptionalTensor& state, const OptionalTensor& cu_seqlens,
                            bool log_decay);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4, 5, 6};
  static constexpr std::array kAutocast{0, 2, 3, 4, 5};

  static void check(const char* op, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                    const Tensor& b, const OptionalTensor& state, const OptionalTensor& cu_seqlens, bool) {
    check_wkv7(op, r, w, k, v, a, b, state, cu_seqlens);
  }
  static Outputs meta(const Tensor& r, const Tensor&, const Tensor& k, const Tensor& v, const Tensor&, const Tensor&,
                      const OptionalTensor&, const OptionalTensor& cu_seqlens, bool) {
    return {
        empty_of_shape(v.sym_sizes().vec(), v.options()),
        empty_of_shape({sequence_count(k, cu_seqlens), k.sym_size(2), v.sym_size(3), k.sym_size(3)}, state_options(r))};
  }
};

}  // namespace

std::tuple<Tensor, Tensor> ops::wkv7(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                                     const Tensor& a, const Tensor& b, const OptionalTensor& state,
                                     const OptionalTensor& cu_seqlens, bool log_decay) {
  return call<Wkv7Op>(r, w, k, v, a, b, state, cu_seqlens, log_decay);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::Wkv7Op)
