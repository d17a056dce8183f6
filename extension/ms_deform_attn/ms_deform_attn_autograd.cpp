// ms_deform_attn for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "ms_deform_attn/ms_deform_attn_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct MsDeformAttnOp {
  static constexpr const char* kName = "ms_deform_attn";
  using Signature = Tensor(const Tensor& value, const Tensor& spatial_shapes, const Tensor& level_start_index,
                           const Tensor& sampling_locations, const Tensor& attention_weights);
  static constexpr std::array kDifferentiable{0, 3, 4};
  static constexpr std::array kAutocast{0};  // half a pixel of a large map is less than a half type resolves

  static void check(const char* op, const Tensor& value, const Tensor& spatial_shapes, const Tensor& level_start_index,
                    const Tensor& sampling_locations, const Tensor& attention_weights) {
    check_ms_deform_attn(op, value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  }
  static Tensor meta(const Tensor& value, const Tensor&, const Tensor&, const Tensor& sampling_locations,
                     const Tensor&) {
    return empty_of_shape({value.sym_size(0), sampling_locations.sym_size(1), value.sym_size(2) * value.sym_size(3)},
                          value.options());
  }
};

}  // namespace

Tensor ops::ms_deform_attn(const Tensor& value, const Tensor& spatial_shapes, const Tensor& level_start_index,
                           const Tensor& sampling_locations, const Tensor& attention_weights) {
  return call<MsDeformAttnOp>(value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::MsDeformAttnOp)
