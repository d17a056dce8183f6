// bi_wkv for PyTorch's other layers, and its typed call.
#include "bi_wkv/bi_wkv_check.h"
#include "core/autograd.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct BiWkvOp {
  static constexpr const char* kName = "bi_wkv";
  using Signature = Tensor(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, int64_t compat_chunks);
  static constexpr std::array kDifferentiable{0, 1, 2, 3};
  static constexpr std::array kAutocast{2, 3};

  static void check(const char* op, const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v,
                    int64_t compat_chunks) {
    check_bi_wkv(op, w, u, k, v, compat_chunks);
  }
  static Tensor meta(const Tensor&, const Tensor&, const Tensor& k, const Tensor&, int64_t) {
    return empty_of_shape(k.sym_sizes().vec(), k.options());
  }
};

}  // namespace

Tensor ops::bi_wkv(const Tensor& w, const Tensor& u, const Tensor& k, const Tensor& v, int64_t compat_chunks) {
  return call<BiWkvOp>(w, u, k, v, compat_chunks);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::BiWkvOp)
