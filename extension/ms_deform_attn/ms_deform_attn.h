// ms_deform_attn on raw pointers: what the tensor entries (ms_deform_attn_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   y[b, q, m] = sum over levels l and points p of attention_weights[b, q, m, l, p] * sample_l(b, m, (x W_l - 1/2,
//   y H_l - 1/2)),  (x, y) = sampling_locations[b, q, m, l, p]
//
// sample_l is the bilinear interpolation between the four nearest of level l's H_l x W_l places, whose value is
// value[b, level_start_index[l] + row * W_l + column, m]; outside of the level it is zero. So each y is a sum of at
// most 4 L P rows of D values, and so is each gradient: of a row of value by the same coefficients, of a location and
// of a weight by the products of dL/dy with the rows.
// Cost of a (b, q, m): 4 L P D multiply-adds and as many values read forward; twice that backward.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

struct MsDeformAttnInputs {
  const void* value;                    // [batch, places, heads, size]
  const int64_t* spatial_shapes;        // [levels, 2]: height, width
  const int64_t* level_start_index;     // [levels]
  const void* sampling_locations;       // [batch, queries, heads, levels, points, 2]: x, y
  const void* attention_weights;        // [batch, queries, heads, levels, points]
  bool float_locations, float_weights;  // they are fp32, whatever the dtype of value
  int64_t places, heads, size, queries, levels, points;
};

struct MsDeformAttnGradients {
  const void* y;  // dL/dy [batch, queries, heads, size]
  void *value, *sampling_locations, *attention_weights;
};

struct MsDeformAttnKernels {
  // The rows first, ..., last - 1 of y [batch * queries * heads, size].
  void (*forward)(const MsDeformAttnInputs&, void* y, int64_t first, int64_t last, void* scratch);
  // All gradients of one head: no other head adds to its part of the gradient of value.
  void (*backward)(const MsDeformAttnInputs&, const MsDeformAttnGradients&, int64_t batch, int64_t head, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const MsDeformAttnInputs&);
  int64_t (*backward_scratch)(const MsDeformAttnInputs&);
};

struct MsDeformAttnKernelTable {
  MsDeformAttnKernels of[kIoTypes];  // indexed by the IoType of value and y
};

WKV_ISA_TABLE(MsDeformAttnKernelTable, ms_deform_attn_kernels)

}  // namespace wkv
