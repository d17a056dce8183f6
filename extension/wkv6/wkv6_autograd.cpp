// wkv6 for PyTorch's other layers, and its typed calls.
#include "wkv/ops.h"
#include "wkv6/wkv6_op.h"

namespace wkv {
namespace {

struct Wkv6Op : Wkv6Description<Decay::kPerToken> {
  static constexpr const char* kName = "wkv6";
};

struct Wkv6DecodeOp : Wkv6DecodeDescription<Decay::kPerToken> {
  static constexpr const char* kName = "wkv6_decode_";
};

}  // namespace

std::tuple<Tensor, Tensor> ops::wkv6(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                                     const Tensor& u, const OptionalTensor& state, const OptionalTensor& cu_seqlens,
                                     bool log_decay) {
  return call<Wkv6Op>(r, k, v, w, u, state, cu_seqlens, log_decay);
}

Tensor ops::wkv6_decode_(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                         Tensor& pool, const Tensor& slots) {
  return call<Wkv6DecodeOp>(r, k, v, w, u, pool, slots);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::Wkv6Op)
WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::Wkv6DecodeOp)
