// What q_shift and _q_shift_backward refuse, for their kernels and their meta functions.
#pragma once
#include "core/check.h"

namespace wkv {

template <class Tensor>
void check_q_shift(const char* op, const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift,
                   int64_t head_size, int64_t cls_tokens) {
  const Check<Tensor> check{op};
  check.dimensions("x", x, "[B, T, C]", 3);
  for (const auto& [name, value] : {std::pair{"height", height}, std::pair{"width", width}, std::pair{"shift", shift},
                                    std::pair{"head_size", head_size}, std::pair{"cls_tokens", cls_tokens}}) {
    if (value < 0) fail(op, ": ", name, " must not be negative, got ", value);
  }
  const auto shape = sizes_of(x);
  int64_t tokens;
  if (__builtin_mul_overflow(height, width, &tokens) || __builtin_add_overflow(tokens, cls_tokens, &tokens) ||
      shape[1] != tokens) {
    fail(op, ": height * width + cls_tokens must be the T of x, got ", height, " * ", width, " + ", cls_tokens,
         " for x of shape ", to_text(shape));
  }
  if (!(gamma >= 0 && gamma <= 0.5)) fail(op, ": gamma must be 0 to 0.5, got ", gamma);
  if (head_size > 0 && shape[2] % head_size != 0) {
    fail(op, ": head_size must divide the C of x, got ", head_size, " for x of shape ", to_text(shape));
  }
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
}

// The gradient of the output, for arguments that check_q_shift let through.
template <class Tensor>
void check_q_shift_gradient(const char* op, const Tensor& grad_y, const Tensor& x) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, C]", sizes_of(x));
  check.dtype("grad_y", grad_y, {x.scalar_type()});
  check.same_device("grad_y", grad_y, "x", x);
}

}  // namespace wkv
