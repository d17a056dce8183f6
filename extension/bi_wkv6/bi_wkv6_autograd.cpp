// bi_wkv6 for PyTorch's other layers, and its typed call.
#include "bi_wkv6/bi_wkv6_check.h"
#include "core/autograd.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct BiWkv6Op {
  static constexpr const char* kName = "bi_wkv6";
  using Signature = Tensor(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u);
  static constexpr std::array kDifferentiable{0, 1, 2, 3, 4};
  static constexpr std::array kAutocast{0, 1, 2};

  static void check(const char* op, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                    const Tensor& u) {
    check_bi_wkv6(op, r, k, v, w, u);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor& v, const Tensor&, const Tensor&) {
    return empty_of_shape(v.sym_sizes().vec(), v.options());
  }
};

}  // namespace

Tensor ops::bi_wkv6(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u) {
  return call<BiWkv6Op>(r, k, v, w, u);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::BiWkv6Op)
