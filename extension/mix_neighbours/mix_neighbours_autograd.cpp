// _mix_neighbours for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "mix_neighbours/mix_neighbours_check.h"
#include "wkv/vision_ops.h"

namespace wkv {
namespace {

struct MixNeighboursOp {
  static constexpr const char* kName = "_mix_neighbours";
  using Signature = Tensor(const Tensor& x, const Tensor& mixes, const OptionalTensor& changes, int64_t height,
                           int64_t width, double gamma, int64_t shift, int64_t head_size, int64_t cls_tokens);
  static constexpr std::array kDifferentiable{0, 1, 2};
  static constexpr std::array<int, 0> kAutocast{};  // as PyTorch's elementwise functions

  static void check(const char* op, const Tensor& x, const Tensor& mixes, const OptionalTensor& changes, int64_t height,
                    int64_t width, double gamma, int64_t shift, int64_t head_size, int64_t cls_tokens) {
    check_mix_neighbours(op, x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  }
  static Tensor meta(const Tensor& x, const Tensor& mixes, const OptionalTensor&, int64_t, int64_t, double, int64_t,
                     int64_t, int64_t) {
    auto shape = x.sym_sizes().vec();
    shape.insert(shape.begin(), mixes.sym_size(0));
    return empty_of_shape(shape, x.options());
  }
};

}  // namespace

Tensor ops::mix_neighbours(const Tensor& x, const Tensor& mixes, const OptionalTensor& changes, int64_t height,
                           int64_t width, double gamma, int64_t shift, int64_t head_size, int64_t cls_tokens) {
  return call<MixNeighboursOp>(x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::MixNeighboursOp)
