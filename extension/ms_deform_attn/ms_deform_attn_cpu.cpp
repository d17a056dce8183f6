// ms_deform_attn and its backward on the CPU: checks, outputs, and the division of the work among threads. The
// arithmetic is in the *_isa files. A result does not depend on the number of threads: each y is one task's, and each
// head's gradients are.
#include "core/scratch.h"
#include "core/stable.h"
#include "ms_deform_attn/ms_deform_attn.h"
#include "ms_deform_attn/ms_deform_attn_check.h"

namespace wkv {
namespace {

constexpr int64_t kWorthwhile = 1 << 16;  // multiply-adds to give to a thread at least: some 20 microseconds

struct MsDeformAttnCall {
  Tensor value, spatial_shapes, level_start_index, sampling_locations, attention_weights;
  MsDeformAttnInputs inputs;
  const MsDeformAttnKernels& kernels;

  // The arguments' shapes and dtypes have been checked.
  MsDeformAttnCall(const char* op, const Tensor& value_, const Tensor& spatial_shapes_,
                   const Tensor& level_start_index_, const Tensor& sampling_locations_,
                   const Tensor& attention_weights_)
      : value(as_contiguous(value_)),
        spatial_shapes(as_contiguous(spatial_shapes_)),
        level_start_index(as_contiguous(level_start_index_)),
        sampling_locations(as_contiguous(sampling_locations_)),
        attention_weights(as_contiguous(attention_weights_)),
        inputs{.value = value.const_data_ptr(),
               .spatial_shapes = spatial_shapes.const_data_ptr<int64_t>(),
               .level_start_index = level_start_index.const_data_ptr<int64_t>(),
               .sampling_locations = sampling_locations.const_data_ptr(),
               .attention_weights = attention_weights.const_data_ptr(),
               .float_locations = sampling_locations.scalar_type() == ScalarType::Float,
               .float_weights = attention_weights.scalar_type() == ScalarType::Float,
               .places = value.size(1),
               .heads = value.size(2),
               .size = value.size(3),
               .queries = sampling_locations.size(1),
               .levels = spatial_shapes.size(0),
               .points = sampling_locations.size(4)},
        kernels(ms_deform_attn_kernels().of[static_cast<int>(io_type(value))]) {
    check_levels(op, inputs.spatial_shapes, inputs.level_start_index, inputs.levels, inputs.places);
  }

  // Heads of all images.
  int64_t heads() const { return value.size(0) * inputs.heads; }
  // Multiply-adds for one y.
  int64_t work() const { return 4 * inputs.levels * inputs.points * inputs.size + 1; }
};

Tensor ms_deform_attn_cpu(Tensor value, Tensor spatial_shapes, Tensor level_start_index, Tensor sampling_locations,
                          Tensor attention_weights) {
  check_ms_deform_attn("ms_deform_attn", value, spatial_shapes, level_start_index, sampling_locations,
                       attention_weights);
  const MsDeformAttnCall call("ms_deform_attn", value, spatial_shapes, level_start_index, sampling_locations,
                              attention_weights);
  const MsDeformAttnInputs& in = call.inputs;
  Tensor y = new_empty(call.value, {call.value.size(0), in.queries, in.heads * in.size});
  void* const outputs = y.mutable_data_ptr();
  parallel_for(0, call.heads() * in.queries, kWorthwhile / call.work() + 1, [&](int64_t first, int64_t last) {
    const Scratch scratch(call.kernels.forward_scratch(in));
    call.kernels.forward(in, outputs, first, last, scratch.get());
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> ms_deform_attn_backward_cpu(Tensor grad_y, Tensor value, Tensor spatial_shapes,
                                                               Tensor level_start_index, Tensor sampling_locations,
                                                               Tensor attention_weights) {
  check_ms_deform_attn("_ms_deform_attn_backward", value, spatial_shapes, level_start_index, sampling_locations,
                       attention_weights);
  check_ms_deform_attn_gradient("_ms_deform_attn_backward", grad_y, value, sampling_locations);
  const MsDeformAttnCall call("_ms_deform_attn_backward", value, spatial_shapes, level_start_index, sampling_locations,
                              attention_weights);
  const MsDeformAttnInputs& in = call.inputs;
  grad_y = as_contiguous(grad_y);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_value = gradient_of(call.value), grad_locations = gradient_of(call.sampling_locations),
         grad_weights = gradient_of(call.attention_weights);
  const MsDeformAttnGradients grad{.y = grad_y.const_data_ptr(),
                                   .value = grad_value.mutable_data_ptr(),
                                   .sampling_locations = grad_locations.mutable_data_ptr(),
                                   .attention_weights = grad_weights.mutable_data_ptr()};
  const int64_t work_of_head = in.places * in.size + 2 * in.queries * call.work() + 1;
  parallel_for(0, call.heads(), kWorthwhile / work_of_head + 1, [&](int64_t first, int64_t last) {
    const Scratch scratch(call.kernels.backward_scratch(in));
    for (int64_t head = first; head < last; ++head) {
      call.kernels.backward(in, grad, head / in.heads, head % in.heads, scratch.get());
    }
  });
  return {grad_value, grad_locations, grad_weights};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("ms_deform_attn", TORCH_BOX(&wkv::ms_deform_attn_cpu));
  m.impl("_ms_deform_attn_backward", TORCH_BOX(&wkv::ms_deform_attn_backward_cpu));
}
