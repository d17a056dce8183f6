// _wkv7_inputs for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "wkv/ops.h"
#include "wkv7_inputs/wkv7_inputs_check.h"

namespace wkv {
namespace {

struct Wkv7InputsOp {
  static constexpr const char* kName = "_wkv7_inputs";
  using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;
  using Signature = Outputs(const Tensor& decay, const Tensor& rate, const Tensor& k, const Tensor& w0,
                            const Tensor& a0, const Tensor& k_k, const Tensor& k_a, const OptionalTensor& v,
                            const OptionalTensor& first_value, const OptionalTensor& residual,
                            const OptionalTensor& v0);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  static constexpr std::array kAutocast{0, 1, 2, 7, 8, 9};

  static void check(const char* op, const Tensor& decay, const Tensor& rate, const Tensor& k, const Tensor& w0,
                    const Tensor& a0, const Tensor& k_k, const Tensor& k_a, const OptionalTensor& v,
                    const OptionalTensor& first_value, const OptionalTensor& residual, const OptionalTensor& v0) {
    check_wkv7_inputs(op, decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
  }
  static Outputs meta(const Tensor&, const Tensor&, const Tensor& k, const Tensor&, const Tensor&, const Tensor&,
                      const Tensor&, const OptionalTensor& v, const OptionalTensor&, const OptionalTensor&,
                      const OptionalTensor&) {
    const auto shape = k.sym_sizes().vec();
    const auto like_k = [&] { return empty_of_shape(shape, k.options()); };
    return {empty_of_shape(shape, state_options(k)), like_k(), like_k(), like_k(),
            v ? like_k() : empty_of_shape({0}, k.options())};
  }
};

}  // namespace

ops::Wkv7Inputs ops::wkv7_inputs(const Tensor& decay, const Tensor& rate, const Tensor& k, const Tensor& w0,
                                 const Tensor& a0, const Tensor& k_k, const Tensor& k_a) {
  return call<Wkv7InputsOp>(decay, rate, k, w0, a0, k_k, k_a, std::nullopt, std::nullopt, std::nullopt, std::nullopt);
}
ops::Wkv7Inputs ops::wkv7_inputs(const Tensor& decay, const Tensor& rate, const Tensor& k, const Tensor& w0,
                                 const Tensor& a0, const Tensor& k_k, const Tensor& k_a, const Tensor& v,
                                 const Tensor& first_value, const Tensor& residual, const Tensor& v0) {
  return call<Wkv7InputsOp>(decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::Wkv7InputsOp)
