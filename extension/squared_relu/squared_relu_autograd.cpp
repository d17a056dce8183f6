// _squared_relu for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "squared_relu/squared_relu_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct SquaredReluOp {
  static constexpr const char* kName = "_squared_relu";
  using Signature = Tensor(const Tensor& x);
  static constexpr std::array kDifferentiable{0};
  static constexpr std::array<int, 0> kAutocast{};  // as PyTorch's elementwise functions

  static void check(const char* op, const Tensor& x) { check_squared_relu(op, x); }
  static Tensor meta(const Tensor& x) { return empty_of_shape(x.sym_sizes().vec(), x.options()); }
};

}  // namespace

Tensor ops::squared_relu(const Tensor& x) { return call<SquaredReluOp>(x); }

}  // namespace wkv

WKV_REGISTER_OP(wkv::SquaredReluOp)
