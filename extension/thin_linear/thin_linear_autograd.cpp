// _thin_linear for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "thin_linear/thin_linear_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct ThinLinearOp {
  static constexpr const char* kName = "_thin_linear";
  using Signature = Tensor(const Tensor& x, const Tensor& weight, const OptionalTensor& bias);
  static constexpr std::array kAutocast{0};

  static void check(const char* op, const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
    check_thin_linear(op, x, weight, bias);
  }
  static Tensor meta(const Tensor& x, const Tensor& weight, const OptionalTensor&) {
    auto shape = x.sym_sizes().vec();
    shape.back() = weight.sym_size(0);
    return empty_of_shape(shape, x.options());
  }
};

}  // namespace

Tensor ops::thin_linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  return call<ThinLinearOp>(x, weight, bias);
}

}  // namespace wkv

WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::ThinLinearOp)
