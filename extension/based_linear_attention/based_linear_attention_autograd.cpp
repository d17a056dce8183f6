// based_linear_attention for PyTorch's other layers, and its typed call.
#include "based_linear_attention/based_linear_attention_check.h"
#include "core/autograd.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct BasedLinearAttentionOp {
  static constexpr const char* kName = "based_linear_attention";
  using Outputs = std::tuple<Tensor, Tensor, Tensor>;
  using Signature = Outputs(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& kv_state,
                            const OptionalTensor& k_state, bool normalize, double eps,
                            const OptionalTensor& cu_seqlens);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4};
  static constexpr std::array kAutocast{0, 1, 2};

  static void check(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& kv_state,
                    const OptionalTensor& k_state, bool, double, const OptionalTensor& cu_seqlens) {
    check_based_linear_attention(op, q, k, v, kv_state, k_state, cu_seqlens);
  }
  static Outputs meta(const Tensor& q, const Tensor&, const Tensor& v, const OptionalTensor&, const OptionalTensor&,
                      bool, double, const OptionalTensor& cu_seqlens) {
    const BasedStateShapes<Tensor> shapes(q, v, cu_seqlens);
    return {empty_of_shape(v.sym_sizes().vec(), v.options()), empty_of_shape(shapes.kv, state_options(q)),
            empty_of_shape(shapes.k, state_options(q))};
  }
};

}  // namespace

std::tuple<Tensor, Tensor, Tensor> ops::based_linear_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                                               const OptionalTensor& kv_state,
                                                               const OptionalTensor& k_state, bool normalize,
                                                               double eps, const OptionalTensor& cu_seqlens) {
  return call<BasedLinearAttentionOp>(q, k, v, kv_state, k_state, normalize, eps, cu_seqlens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::BasedLinearAttentionOp)
