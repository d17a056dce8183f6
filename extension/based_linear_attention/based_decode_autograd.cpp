// _based_decode_ for PyTorch's other layers, and its typed call.
#include "based_linear_attention/based_decode_check.h"
#include "core/autograd.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct BasedDecodeOp {
  static constexpr const char* kName = "_based_decode_";
  using Signature = Tensor(const Tensor& q, const Tensor& k, const Tensor& v, Tensor& kv_pool, Tensor& k_pool,
                           const Tensor& slots);
  static constexpr std::array kAutocast{0, 1, 2};

  static void check(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& kv_pool,
                    const Tensor& k_pool, const Tensor& slots) {
    check_based_decode(op, q, k, v, kv_pool, k_pool, slots);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor& v, const Tensor&, const Tensor&, const Tensor&) {
    return empty_of_shape(v.sym_sizes().vec(), v.options());
  }
};

}  // namespace

Tensor ops::based_decode_(const Tensor& q, const Tensor& k, const Tensor& v, Tensor& kv_pool, Tensor& k_pool,
                          const Tensor& slots) {
  return call<BasedDecodeOp>(q, k, v, kv_pool, k_pool, slots);
}

}  // namespace wkv

WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::BasedDecodeOp)
