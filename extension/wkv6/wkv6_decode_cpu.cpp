// wkv6_decode_ on the CPU, and what it shares with wkv5_decode_.
#include "wkv6/wkv6_call.h"

namespace wkv {

Tensor wkv6_decode(const char* op, Decay decay, const Wkv6Arguments& x, const Tensor& pool, const Tensor& slots) {
  const Tensor r = as_contiguous(x.r), k = as_contiguous(x.k), v = as_contiguous(x.v), w = as_contiguous(x.w),
               u = as_contiguous(x.u), slot_row = as_contiguous(slots);
  const auto* const slot = static_cast<const int64_t*>(slot_row.const_data_ptr());
  check_slot_values(op, slot, slot_row.size(0), pool.size(0));
  Tensor y = new_empty(v, v.sizes());
  const Wkv6Inputs inputs{.r = r.const_data_ptr(),
                          .k = k.const_data_ptr(),
                          .v = v.const_data_ptr(),
                          .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, false},
                          .constant_decay = decay == Decay::kConstant,
                          .u = u.const_data_ptr(),
                          .float_u = u.scalar_type() == ScalarType::Float,
                          .heads = r.size(1),
                          .key_size = r.size(2),
                          .value_size = v.size(2)};
  const Wkv6Kernels& kernels = wkv6_kernels().of[static_cast<int>(io_type(r))];
  const int64_t bytes = r.scalar_type() == ScalarType::Double ? 8 : 4;
  const int64_t head_bytes = inputs.key_size * inputs.value_size * bytes, slot_bytes = pool.stride(0) * bytes;
  auto* const states = static_cast<char*>(pool.mutable_data_ptr());
  void* const outputs = y.mutable_data_ptr();
  const auto step = [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t row = task / inputs.heads, head = task % inputs.heads;
      kernels.decode(inputs, row * inputs.heads + head, head, states + slot[row] * slot_bytes + head * head_bytes,
                     outputs);
    }
  };
  constexpr int64_t kWorthwhile = 256 << 10;  // bytes of state for a thread, so that its start is worth its cost
  const int64_t tasks = r.size(0) * inputs.heads;
  if (tasks > 0) parallel_for(0, tasks, std::max<int64_t>(1, kWorthwhile / head_bytes), step);
  return y;
}

namespace {

Tensor wkv6_decode_cpu(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor pool, Tensor slots) {
  check_wkv6_decode("wkv6_decode_", Decay::kPerToken, r, k, v, w, u, pool, slots);
  return wkv6_decode("wkv6_decode_", Decay::kPerToken, {r, k, v, w, u, std::nullopt, std::nullopt, false}, pool, slots);
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) { m.impl("wkv6_decode_", TORCH_BOX(&wkv::wkv6_decode_cpu)); }
