// q_shift on the GPU: see q_shift.h. A thread moves the values of neighbouring channels of a token, 16 bytes at a time
// where the runs of channels allow it, else one by one.
#pragma once
#include "core/cuda/platform.cuh"
#include "q_shift/q_shift.h"

namespace wkv::cuda {

struct QShiftCall {
  int64_t tokens;  // batch * (height * width + cls_tokens)
  int64_t height, width, cls_tokens, shift;
  int64_t channels, head_size;  // in units
  int64_t bounds[4];            // where the channel groups of a head end, in units

  // How many tokens from this one its value of that unit is found, kNoNeighbour for none.
  __device__ int64_t to_neighbour(int64_t token, int64_t unit) const {
    const int64_t channel = unit % head_size, place = token % (height * width + cls_tokens);
    int group = 0;
    while (group < 4 && channel >= bounds[group]) ++group;
    if (group == 4 || place >= height * width) return 0;
    const int64_t step = group % 2 ? shift : -shift;  // left, right, upper, lower
    const bool along_row = group < 2;
    const int64_t to = (along_row ? place % width : place / width) + step;
    if (to < 0 || to >= (along_row ? width : height)) return kNoNeighbour;
    return step * (along_row ? 1 : width);
  }
};

// `shift` may be negative: then values go the other way. A unit is one element.
inline QShiftCall q_shift_call(int64_t tokens, int64_t channels, int64_t height, int64_t width, double gamma,
                               int64_t shift, int64_t head_size, int64_t cls_tokens) {
  const QShiftGrid grid = q_shift_grid(height, width, cls_tokens, shift);
  const int64_t size = head_size > 0 ? head_size : channels;
  QShiftCall call{.tokens = tokens,
                  .height = height,
                  .width = width,
                  .cls_tokens = cls_tokens,
                  .shift = grid.shift,
                  .channels = channels,
                  .head_size = size};
  for (int i = 0; i < 4; ++i) call.bounds[i] = static_cast<int64_t>(static_cast<double>(size) * gamma * (i + 1));
  return call;
}

// unit_t: what is moved at once. x and y: [tokens, channels].
template <class unit_t>
__global__ void q_shift_kernel(QShiftCall call, const unit_t* x, unit_t* y) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < call.tokens * call.channels;
       i += stride) {
    const int64_t to_neighbour = call.to_neighbour(i / call.channels, i % call.channels);
    y[i] = to_neighbour == kNoNeighbour ? unit_t{} : x[i + to_neighbour * call.channels];
  }
}

}  // namespace wkv::cuda
