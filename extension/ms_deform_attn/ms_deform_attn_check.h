// What ms_deform_attn and _ms_deform_attn_backward refuse, for their kernels and their meta functions.
#pragma once
#include "core/check.h"

namespace wkv {

template <class Tensor>
void check_ms_deform_attn(const char* op, const Tensor& value, const Tensor& spatial_shapes,
                          const Tensor& level_start_index, const Tensor& sampling_locations,
                          const Tensor& attention_weights) {
  const Check<Tensor> check{op};
  check.dimensions("value", value, "[B, S, M, D]", 4);
  check.dimensions("spatial_shapes", spatial_shapes, "[L, 2]", 2);
  const auto shape = sizes_of(value), levels = sizes_of(spatial_shapes);
  check.shape("spatial_shapes", spatial_shapes, "[L, 2]", {levels[0], 2});
  check.shape("level_start_index", level_start_index, "[L]", {levels[0]});
  check.dimensions("sampling_locations", sampling_locations, "[B, Q, M, L, P, 2]", 6);
  const auto locations = sizes_of(sampling_locations);
  check.shape("sampling_locations", sampling_locations, "[B, Q, M, L, P, 2]",
              {shape[0], locations[1], shape[2], levels[0], locations[4], 2});
  check.shape("attention_weights", attention_weights, "[B, Q, M, L, P]",
              {shape[0], locations[1], shape[2], levels[0], locations[4]});

  const ScalarType type = value.scalar_type();
  check.dtype("value", value, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.dtype("spatial_shapes", spatial_shapes, {ScalarType::Long});
  check.dtype("level_start_index", level_start_index, {ScalarType::Long});
  for (const auto& [name, tensor] :
       {std::pair{"sampling_locations", &sampling_locations}, std::pair{"attention_weights", &attention_weights}}) {
    check.parameter_dtype(name, *tensor, type);
  }

  const auto same_device_or_cpu = [&](const char* name, const Tensor& tensor) {
    if (tensor.device().type() != DeviceType::CPU) check.same_device(name, tensor, "value", value);
  };
  same_device_or_cpu("spatial_shapes", spatial_shapes);
  same_device_or_cpu("level_start_index", level_start_index);
  check.same_device("sampling_locations", sampling_locations, "value", value);
  check.same_device("attention_weights", attention_weights, "value", value);
}

// The values of spatial_shapes [levels, 2] and level_start_index [levels], where they can be read: each level must lie
// within the `places` of value.
inline void check_levels(const char* op, const int64_t* spatial_shapes, const int64_t* level_start_index,
                         int64_t levels, int64_t places) {
  for (int64_t l = 0; l < levels; ++l) {
    const int64_t height = spatial_shapes[2 * l], width = spatial_shapes[2 * l + 1], start = level_start_index[l];
    if (height < 0 || width < 0) {
      fail(op, ": spatial_shapes must not be negative, got ", height, " x ", width, " for level ", l);
    }
    int64_t end;
    if (__builtin_mul_overflow(height, width, &end) || end > places) {
      fail(op, ": spatial_shapes must describe levels within the S = ", places, " places of value, got ", height, " x ",
           width, " for level ", l);
    }
    if (start < 0 || start > places - end) {
      fail(op, ": level_start_index must leave space for each level within the S = ", places, " places of value, got ",
           start, " for level ", l, " of ", height, " x ", width);
    }
  }
}

// The gradient of the output, for arguments that check_ms_deform_attn let through.
template <class Tensor>
void check_ms_deform_attn_gradient(const char* op, const Tensor& grad_y, const Tensor& value,
                                   const Tensor& sampling_locations) {
  const Check<Tensor> check{op};
  const auto shape = sizes_of(value);
  check.shape("grad_y", grad_y, "[B, Q, M * D]", {shape[0], sizes_of(sampling_locations)[1], shape[2] * shape[3]});
  check.dtype("grad_y", grad_y, {value.scalar_type()});
  check.same_device("grad_y", grad_y, "value", value);
}

}  // namespace wkv
