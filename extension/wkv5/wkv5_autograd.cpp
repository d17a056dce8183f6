// wkv5 for PyTorch's other layers, and its typed calls.
#include "wkv/ops.h"
#include "wkv6/wkv6_op.h"

namespace wkv {
namespace {

struct Wkv5Op : Wkv6Description<Decay::kConstant> {
  static constexpr const char* kName = "wkv5";
};

struct Wkv5DecodeOp : Wkv6DecodeDescription<Decay::kConstant> {
  static constexpr const char* kName = "wkv5_decode_";
};

}  // namespace

std::tuple<Tensor, Tensor> ops::wkv5(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                                     const Tensor& u, const OptionalTensor& state, const OptionalTensor& cu_seqlens,
                                     bool log_decay) {
  return call<Wkv5Op>(r, k, v, w, u, state, cu_seqlens, log_decay);
}

Tensor ops::wkv5_decode_(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u,
                         Tensor& pool, const Tensor& slots) {
  return call<Wkv5DecodeOp>(r, k, v, w, u, pool, slots);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::Wkv5Op)
WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::Wkv5DecodeOp)
