// _mix_tokens for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "mix_tokens/mix_tokens_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct MixTokensOp {
  static constexpr const char* kName = "_mix_tokens";
  using Outputs = std::tuple<Tensor, Tensor>;
  using Signature = Outputs(const Tensor& x, const Tensor& last, const Tensor& mixes, const OptionalTensor& changes,
                            const OptionalTensor& cu_seqlens);
  static constexpr std::array kDifferentiable{0, 1, 2, 3};
  static constexpr std::array<int, 0> kAutocast{};  // as PyTorch's elementwise functions

  static void check(const char* op, const Tensor& x, const Tensor& last, const Tensor& mixes,
                    const OptionalTensor& changes, const OptionalTensor& cu_seqlens) {
    check_mix_tokens(op, x, last, mixes, changes, cu_seqlens);
  }
  static Outputs meta(const Tensor& x, const Tensor& last, const Tensor& mixes, const OptionalTensor&,
                      const OptionalTensor&) {
    auto shape = x.sym_sizes().vec();
    shape.insert(shape.begin(), mixes.sym_size(0));
    return {empty_of_shape(shape, x.options()), empty_of_shape(last.sym_sizes().vec(), x.options())};
  }
};

}  // namespace

std::tuple<Tensor, Tensor> ops::mix_tokens(const Tensor& x, const Tensor& last, const Tensor& mixes,
                                           const OptionalTensor& changes, const OptionalTensor& cu_seqlens) {
  return call<MixTokensOp>(x, last, mixes, changes, cu_seqlens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::MixTokensOp)
