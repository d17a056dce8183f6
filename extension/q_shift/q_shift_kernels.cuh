// q_shift on the GPU: see q_shift.h. A thread moves the values of neighbouring channels of a token, 16 bytes at a time
// where the runs of channels allow it, else one by one.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

struct QShiftCall {
  int64_t tokens;  // batch * (height * width + cls_tokens)
  int64_t height, width, cls_tokens, shift;
  int64_t channels, head_size;  // in units
  int64_t bounds[4];            // where the channel groups of a head end, in units
};

// unit_t: what is moved at once. x and y: [tokens, channels].
template <class unit_t>
__global__ void q_shift_kernel(QShiftCall call, const unit_t* x, unit_t* y) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < call.tokens * call.channels;
       i += stride) {
    const int64_t token = i / call.channels, channel = i % call.channels % call.head_size;
    const int64_t place = token % (call.height * call.width + call.cls_tokens);
    int group = 0;
    while (group < 4 && channel >= call.bounds[group]) ++group;
    if (group == 4 || place >= call.height * call.width) {
      y[i] = x[i];
      continue;
    }
    const int64_t step = group % 2 ? call.shift : -call.shift;  // left, right, upper, lower
    const bool along_row = group < 2;
    const int64_t to = (along_row ? place % call.width : place / call.width) + step;
    const bool inside = to >= 0 && to < (along_row ? call.width : call.height);
    y[i] = inside ? x[i + step * (along_row ? 1 : call.width) * call.channels] : unit_t{};
  }
}

}  // namespace wkv::cuda
