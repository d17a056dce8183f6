// short_conv for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "short_conv/short_conv_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct ShortConvOp {
  static constexpr const char* kName = "short_conv";
  using Outputs = std::tuple<Tensor, Tensor>;
  using Signature = Outputs(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                            const OptionalTensor& state, bool silu, const OptionalTensor& cu_seqlens);
  static constexpr std::array kDifferentiable{0, 1, 2, 3};
  static constexpr std::array kAutocast{0};

  static void check(const char* op, const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                    const OptionalTensor& state, bool, const OptionalTensor& cu_seqlens) {
    check_short_conv(op, x, weight, bias, state, cu_seqlens);
  }
  static Outputs meta(const Tensor& x, const Tensor& weight, const OptionalTensor&, const OptionalTensor&, bool,
                      const OptionalTensor& cu_seqlens) {
    return {empty_of_shape(x.sym_sizes().vec(), x.options()),
            empty_of_shape({sequence_count(x, cu_seqlens), x.sym_size(2), weight.sym_size(2)}, state_options(x))};
  }
};

}  // namespace

std::tuple<Tensor, Tensor> ops::short_conv(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                                           const OptionalTensor& state, bool silu, const OptionalTensor& cu_seqlens) {
  return call<ShortConvOp>(x, weight, bias, state, silu, cu_seqlens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::ShortConvOp)
