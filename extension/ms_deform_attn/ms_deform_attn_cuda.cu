// ms_deform_attn and its backward on CUDA.
#include "core/cuda/launch.h"
#include "ms_deform_attn/ms_deform_attn_check.h"
#include "ms_deform_attn/ms_deform_attn_kernels.cuh"

namespace wkv::cuda {
namespace {

constexpr int kThreads = 128;

struct MsDeformAttn {
  Device device;
  Tensor value, spatial_shapes, level_start_index, sampling_locations, attention_weights;
  MsDeformAttnCall call;

  // The arguments' shapes and dtypes have been checked.
  MsDeformAttn(const char* op, const Tensor& value_, const Tensor& spatial_shapes_, const Tensor& level_start_index_,
               const Tensor& sampling_locations_, const Tensor& attention_weights_)
      : device(value_),
        value(as_contiguous(value_)),
        spatial_shapes(as_contiguous(spatial_shapes_)),
        level_start_index(as_contiguous(level_start_index_)),
        sampling_locations(as_contiguous(sampling_locations_)),
        attention_weights(as_contiguous(attention_weights_)),
        call{.locations = sampling_locations.const_data_ptr(),
             .weights = attention_weights.const_data_ptr(),
             .float_locations = sampling_locations.scalar_type() == ScalarType::Float,
             .float_weights = attention_weights.scalar_type() == ScalarType::Float,
             .rows = value.size(0) * sampling_locations.size(1) * value.size(2),
             .places = value.size(1),
             .heads = value.size(2),
             .size = value.size(3),
             .queries = sampling_locations.size(1),
             .levels = spatial_shapes.size(0),
             .points = sampling_locations.size(4)} {
    MsDeformAttnLevels& levels = call.all_levels;
    const auto place = [&](const char* name, const Tensor& tensor, int64_t* here) -> const int64_t* {
      const auto* const values = tensor.const_data_ptr<int64_t>();
      if (!tensor.is_cpu()) return values;
      if (call.levels > MsDeformAttnLevels::kMost) {
        fail(op, ": ", name, " of more than ", MsDeformAttnLevels::kMost,
             " levels must be on the device of value, got ", call.levels, " levels on the CPU");
      }
      std::copy_n(values, tensor.numel(), here);
      return nullptr;
    };
    levels.shapes = place("spatial_shapes", spatial_shapes, levels.shapes_here);
    levels.starts = place("level_start_index", level_start_index, levels.starts_here);
    if (!levels.shapes && !levels.starts) {
      check_levels(op, levels.shapes_here, levels.starts_here, call.levels, call.places);
    }
  }

  // run(channels): how many a thread takes at once.
  template <class io_t, class Run>
  void with_channels(std::initializer_list<const void*> rows, const Run& run) const {
    constexpr int kChannels = 4;
    bool aligned = call.size % kChannels == 0;
    for (const void* row : rows) {
      aligned = aligned && reinterpret_cast<uintptr_t>(row) % alignof(Vector<io_t, kChannels>) == 0;
    }
    if (aligned) return run(std::integral_constant<int, kChannels>{});
    run(std::integral_constant<int, 1>{});
  }
};

int64_t blocks_for(int64_t threads) { return (threads + kThreads - 1) / kThreads; }

Tensor ms_deform_attn(Tensor value, Tensor spatial_shapes, Tensor level_start_index, Tensor sampling_locations,
                      Tensor attention_weights) {
  const char* const name = "ms_deform_attn";
  check_ms_deform_attn(name, value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  const MsDeformAttn op(name, value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  const MsDeformAttnCall& call = op.call;
  Tensor y = new_empty(op.value, {op.value.size(0), call.queries, call.heads * call.size});
  for_io_type(op.value, [&](auto io) {
    using io_t = decltype(io);
    const io_t* const values = data<io_t>(op.value);
    io_t* const out = data<io_t>(y);
    op.with_channels<io_t>({values, out}, [&](auto channels) {
      op.device.launch(ms_deform_attn_kernel<io_t, channels>, blocks_for(call.rows * (call.size / channels)), kThreads,
                       0, call, values, out);
    });
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> ms_deform_attn_backward(Tensor grad_y, Tensor value, Tensor spatial_shapes,
                                                           Tensor level_start_index, Tensor sampling_locations,
                                                           Tensor attention_weights) {
  const char* const name = "_ms_deform_attn_backward";
  check_ms_deform_attn(name, value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  check_ms_deform_attn_gradient(name, grad_y, value, sampling_locations);
  const MsDeformAttn op(name, value, spatial_shapes, level_start_index, sampling_locations, attention_weights);
  const MsDeformAttnCall& call = op.call;
  grad_y = as_contiguous(grad_y);
  Tensor grad_value = new_zeros(op.value, op.value.sizes()),
         grad_locations = new_empty(op.sampling_locations, op.sampling_locations.sizes()),
         grad_weights = new_empty(op.attention_weights, op.attention_weights.sizes());
  const Tensor sums = new_zeros(op.value, op.value.sizes(), ScalarType::Long),
               exponent = new_zeros(op.value, {1}, ScalarType::Int);
  // An element of value is seen at most once by each sample of its image and head.
  int headroom = 0;
  while ((int64_t{1} << headroom) < call.queries * call.levels * call.points) ++headroom;

  const Device& device = op.device;
  const int64_t some = int64_t{8} * device.multiprocessors(), elements = op.value.numel();
  for_io_type(op.value, [&](auto io) {
    using io_t = decltype(io);
    const MsDeformAttnGradients<io_t> grad{.value = data<io_t>(op.value),
                                           .y = data<io_t>(grad_y),
                                           .locations = grad_locations.mutable_data_ptr(),
                                           .weights = grad_weights.mutable_data_ptr(),
                                           .sums = static_cast<unsigned long long*>(sums.mutable_data_ptr()),
                                           .grad_value = data<io_t>(grad_value),
                                           .exponent = data<int>(exponent),
                                           .headroom = headroom};
    device.launch(ms_deform_attn_exponent_kernel<io_t>, std::min(some, blocks_for(call.rows * 32)), kThreads, 0, call,
                  grad.y, data<int>(exponent));
    op.with_channels<io_t>({grad.value, grad.y}, [&](auto channels) {
      device.launch(ms_deform_attn_backward_kernel<io_t, channels>, blocks_for(call.rows * kDeformLanes), kThreads, 0,
                    call, grad);
    });
    device.launch(ms_deform_attn_value_kernel<io_t>, std::min(some, blocks_for(elements)), kThreads, 0, grad, elements);
  });
  return {grad_value, grad_locations, grad_weights};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("ms_deform_attn", TORCH_BOX(&wkv::cuda::ms_deform_attn));
  m.impl("_ms_deform_attn_backward", TORCH_BOX(&wkv::cuda::ms_deform_attn_backward));
}
