// The backward of wkv6: the entry that wkv6_isa.cpp puts into the kernel table.
#pragma once
#include "wkv6/wkv6_scan_back.h"

namespace wkv::WKV_ISA {

template <class io_t>
int64_t wkv6_backward_scratch(const Wkv6Inputs& in, int64_t length) {
  Arena arena(nullptr);
  Wkv6ScanBack<io_t>(arena, in, {0, length, 0, nullptr}, {});
  return arena.used();
}

template <class io_t>
void wkv6_backward(const Wkv6Inputs& in, const Wkv6Sequence& sequence, const Wkv6Gradients& grad, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t N = in.key_size;
  Arena arena(scratch);
  Wkv6ScanBack<io_t> scan(arena, in, sequence, grad);
  auto* const dw = static_cast<acc_t*>(grad.w);  // of a constant decay
  if (in.constant_decay) {
    for (int64_t i = 0; i < N; ++i) dw[i] = 0;
  }
  scan.run(false, grad.state_after, true, [&](int64_t row, const Wkv6RowGradients<acc_t>& x) {
    store_row_gradients<io_t>(in, grad, row, x);
    if (in.constant_decay) {
      for (int64_t i = 0; i < N; ++i) dw[i] += x.w[i];
    }
  });
  store_row(scan.u(), N, static_cast<acc_t*>(grad.u));
  if (grad.state_before) scan.store_state_gradient(grad.state_before);
}

}  // namespace wkv::WKV_ISA
