#include "layers/rotary.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace wkv::models {

TokenPositions::TokenPositions(const at::Tensor& tokens, const at::Tensor& before, const Sequences& sequences) {
  const at::Tensor steps = at::arange(tokens.size(1), before.options());
  if (sequences.cu_seqlens) {
    const at::Tensor bounds = sequences.cu_seqlens->to(before.device()), lengths = bounds.diff();
    of_tokens = (at::repeat_interleave(before - bounds.slice(0, 0, -1), lengths) + steps).unsqueeze(0);
    after = before + lengths;
  } else {
    of_tokens = before.unsqueeze(1) + steps;
    after = before + tokens.size(1);
  }
}

Rotation::Rotation(const at::Tensor& positions, int64_t head_size, double base, const at::Tensor& like) {
  // On the positions' device: a copy from the CPU would wait for it.
  const at::Tensor exponents = at::arange(head_size / 2, positions.options().dtype(at::kDouble)) * -2.0 / head_size,
                   frequencies = at::pow(base, exponents).to(at::kFloat);
  // Angles in fp32 are part of the definition. Their cosines are rounded only after: at::cos of fp32 depends on where
  // in a tensor an element stands, and a sequence may be cut anywhere.
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(-1) * frequencies;
  const at::Tensor exact = angles.unsqueeze(2).to(at::kDouble);
  const at::ScalarType dtype = like.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  cos_ = exact.cos().to(dtype);
  sin_ = exact.sin().to(dtype);
}

at::Tensor Rotation::apply(const at::Tensor& x) const {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor wide = x.to(cos_.scalar_type()), a = wide.narrow(-1, 0, half), b = wide.narrow(-1, half, half);
  return at::cat({a * cos_ - b * sin_, b * cos_ + a * sin_}, -1).to(x.scalar_type());
}

}  // namespace wkv::models
