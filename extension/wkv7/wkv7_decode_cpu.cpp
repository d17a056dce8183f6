// wkv7_decode_ on the CPU: the forward of sequences of one token, on states in place.
#include "core/scratch.h"
#include "core/stable.h"
#include "wkv7/wkv7.h"
#include "wkv7/wkv7_decode_check.h"

namespace wkv {
namespace {

Tensor wkv7_decode_cpu(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor pool, Tensor slots) {
  check_wkv7_decode("wkv7_decode_", r, w, k, v, a, b, pool, slots);
  r = as_contiguous(r);
  w = as_contiguous(w);
  k = as_contiguous(k);
  v = as_contiguous(v);
  a = as_contiguous(a);
  b = as_contiguous(b);
  slots = as_contiguous(slots);
  const int64_t batch = r.size(0), heads = r.size(1), key_size = r.size(2), value_size = v.size(2);
  const auto* const slot_of_row = slots.const_data_ptr<int64_t>();
  check_slot_values("wkv7_decode_", slot_of_row, batch, pool.size(0));

  const Wkv7Inputs inputs{.r = r.const_data_ptr(),
                          .k = k.const_data_ptr(),
                          .v = v.const_data_ptr(),
                          .a = a.const_data_ptr(),
                          .b = b.const_data_ptr(),
                          .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, /*log_decay=*/false},
                          .heads = heads,
                          .key_size = key_size,
                          .value_size = value_size};
  const Wkv7Kernels& kernels = wkv7_kernels().of[static_cast<int>(io_type(r))];
  Tensor y = new_empty(v, v.sizes());
  void* const outputs = y.mutable_data_ptr();
  auto* const states = static_cast<char*>(pool.mutable_data_ptr());
  const int64_t head_bytes = value_size * key_size * element_bytes(pool),
                slot_bytes = pool.stride(0) * element_bytes(pool);
  constexpr int64_t kWorthwhile = 1 << 20;  // bytes of state to give to a thread at least: some 20 microseconds
  parallel_for(0, batch * heads, kWorthwhile / head_bytes + 1, [&](int64_t first, int64_t last) {
    const Scratch scratch(kernels.forward_scratch(inputs));
    for (int64_t task = first; task < last; ++task) {
      const int64_t row = task / heads, head = task % heads;
      void* const state = states + slot_of_row[row] * slot_bytes + head * head_bytes;
      kernels.forward(inputs, {.first_token = row, .length = 1, .head = head, .state_before = state}, {outputs, state},
                      {0, 1, 0, value_size}, scratch.get());
    }
  });
  return y;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) { m.impl("wkv7_decode_", TORCH_BOX(&wkv::wkv7_decode_cpu)); }
