// wkv7_decode_ for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "wkv/ops.h"
#include "wkv7/wkv7_decode_check.h"

namespace wkv {
namespace {

struct Wkv7DecodeOp {
  static constexpr const char* kName = "wkv7_decode_";
  using Signature = Tensor(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                           const Tensor& b, Tensor& pool, const Tensor& slots);
  static constexpr std::array kAutocast{0, 2, 3, 4, 5};

  static void check(const char* op, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                    const Tensor& b, const Tensor& pool, const Tensor& slots) {
    check_wkv7_decode(op, r, w, k, v, a, b, pool, slots);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor&, const Tensor& v, const Tensor&, const Tensor&,
                     const Tensor&, const Tensor&) {
    return empty_of_shape(v.sym_sizes().vec(), v.options());
  }
};

}  // namespace

Tensor ops::wkv7_decode_(const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v, const Tensor& a,
                         const Tensor& b, Tensor& pool, const Tensor& slots) {
  return call<Wkv7DecodeOp>(r, w, k, v, a, b, pool, slots);
}

}  // namespace wkv

WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::Wkv7DecodeOp)
