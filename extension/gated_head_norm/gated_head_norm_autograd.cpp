// _gated_head_norm for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "gated_head_norm/gated_head_norm_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct GatedHeadNormOp {
  static constexpr const char* kName = "_gated_head_norm";
  using Signature = Tensor(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& gate,
                           const OptionalTensor& r, const OptionalTensor& k, const OptionalTensor& v,
                           const OptionalTensor& bonus, double eps, bool silu);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4, 5, 6, 7};
  static constexpr std::array kAutocast{3, 4, 5, 6};

  static void check(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& gate,
                    const OptionalTensor& r, const OptionalTensor& k, const OptionalTensor& v,
                    const OptionalTensor& bonus, double eps, bool) {
    check_gated_head_norm(op, x, weight, bias, gate, r, k, v, bonus, eps);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor&, const Tensor& gate, const OptionalTensor&,
                     const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, double, bool) {
    return empty_of_shape(gate.sym_sizes().vec(), gate.options());
  }
};

}  // namespace

Tensor ops::gated_head_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& gate, double eps,
                            bool silu) {
  return call<GatedHeadNormOp>(x, weight, bias, gate, std::nullopt, std::nullopt, std::nullopt, std::nullopt, eps,
                               silu);
}
Tensor ops::gated_head_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& gate,
                            const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& bonus, double eps) {
  return call<GatedHeadNormOp>(x, weight, bias, gate, r, k, v, bonus, eps, /*silu=*/false);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::GatedHeadNormOp)
