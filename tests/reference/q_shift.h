// q_shift as its definition says it, in ATen ops: any dtype, differentiable, slow.
#pragma once
#include <ATen/ATen.h>

namespace wkv::reference {

inline at::Tensor q_shift(const at::Tensor& x, int64_t height, int64_t width, double gamma = 0.25, int64_t shift = 1,
                          int64_t head_size = 0, int64_t cls_tokens = 0) {
  const int64_t batch = x.size(0), channels = x.size(2), n = head_size > 0 ? head_size : channels;
  const at::Tensor grid = x.narrow(1, 0, height * width).reshape({batch, height, width, channels});
  // The grid, zeros around it, seen from (dh, dw) away.
  const auto seen_from = [&](int64_t dh, int64_t dw) {
    return at::constant_pad_nd(grid, {0, 0, shift, shift, shift, shift})
        .narrow(1, shift + dh, height)
        .narrow(2, shift + dw, width);
  };
  const std::vector<at::Tensor> shifted = {seen_from(0, -shift), seen_from(0, shift), seen_from(-shift, 0),
                                           seen_from(shift, 0), grid};
  std::vector<at::Tensor> y;
  for (int64_t c = 0; c < channels; ++c) {
    int group = 0;
    while (group < 4 && c % n >= static_cast<int64_t>(static_cast<double>(n) * gamma * (group + 1))) ++group;
    y.push_back(shifted[group].select(3, c));
  }
  const at::Tensor moved = y.empty() ? grid : at::stack(y, 3);
  return at::cat({moved.reshape({batch, height * width, channels}), x.narrow(1, height * width, cls_tokens)}, 1);
}

}  // namespace wkv::reference
