// short_conv as its equations say it, in ATen ops: any dtype (float64 for a reference), differentiable, slow.
#pragma once
#include <ATen/ATen.h>

#include <utility>

namespace wkv::reference {

// bias and state may be undefined.
inline std::pair<at::Tensor, at::Tensor> short_conv(const at::Tensor& x, const at::Tensor& weight,
                                                    const at::Tensor& bias, at::Tensor state, bool silu) {
  const int64_t T = x.size(1), K = weight.size(2);
  if (!state.defined()) state = at::zeros({x.size(0), x.size(2), K}, x.options());
  const at::Tensor inputs = at::cat({state, x.transpose(1, 2)}, 2);  // [B, C, K + T]
  at::Tensor y = at::zeros_like(x).transpose(1, 2);
  for (int64_t j = 0; j < K; ++j) y = y + inputs.narrow(2, 1 + j, T) * weight.select(2, j);
  if (bias.defined()) y = y + bias.unsqueeze(-1);
  if (silu) y = y * y.sigmoid();
  return {y.transpose(1, 2), inputs.narrow(2, T, K)};
}

}  // namespace wkv::reference
