// q_shift for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "q_shift/q_shift_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct QShiftOp {
  static constexpr const char* kName = "q_shift";
  using Signature = Tensor(const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift,
                           int64_t head_size, int64_t cls_tokens);
  static constexpr std::array kDifferentiable{0};
  static constexpr std::array<int, 0> kAutocast{};  // it computes nothing

  static void check(const char* op, const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift,
                    int64_t head_size, int64_t cls_tokens) {
    check_q_shift(op, x, height, width, gamma, shift, head_size, cls_tokens);
  }
  static Tensor meta(const Tensor& x, int64_t, int64_t, double, int64_t, int64_t, int64_t) {
    return empty_of_shape(x.sym_sizes().vec(), x.options());
  }
};

}  // namespace

Tensor ops::q_shift(const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
                    int64_t cls_tokens) {
  return call<QShiftOp>(x, height, width, gamma, shift, head_size, cls_tokens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::QShiftOp)
