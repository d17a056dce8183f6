// _based_decode_ on the CPU: a step of based_linear_attention on packed states in place.
#include "based_linear_attention/based_decode_check.h"
#include "based_linear_attention/based_linear_attention.h"
#include "core/scratch.h"
#include "core/stable.h"

namespace wkv {
namespace {

Tensor based_decode_cpu(Tensor q, Tensor k, Tensor v, Tensor kv_pool, Tensor k_pool, Tensor slots) {
  check_based_decode("_based_decode_", q, k, v, kv_pool, k_pool, slots);
  q = as_contiguous(q);
  k = as_contiguous(k);
  v = as_contiguous(v);
  slots = as_contiguous(slots);
  const int64_t batch = q.size(0), heads = q.size(1);
  const auto* const slot_of_row = slots.const_data_ptr<int64_t>();
  check_slot_values("_based_decode_", slot_of_row, batch, kv_pool.size(0));

  const BasedInputs inputs{.q = q.const_data_ptr(),
                           .k = k.const_data_ptr(),
                           .v = v.const_data_ptr(),
                           .heads = heads,
                           .feature_size = q.size(2),
                           .value_size = v.size(2),
                           .normalize = true,
                           .eps = 1e-12};
  const BasedKernels& kernels = based_kernels().of[static_cast<int>(io_type(q))];
  Tensor y = new_empty(v, v.sizes());
  void* const outputs = y.mutable_data_ptr();
  auto *const kv_states = static_cast<char*>(kv_pool.mutable_data_ptr()), *const k_states = static_cast<char*>(
                                                                              k_pool.mutable_data_ptr());
  const int64_t element = element_bytes(kv_pool), k_bytes = k_pool.size(2) * element,
                kv_bytes = k_bytes * inputs.value_size;
  const int64_t kv_slot_bytes = kv_pool.stride(0) * element, k_slot_bytes = k_pool.stride(0) * element;
  constexpr int64_t kWorthwhile = 1 << 20;  // bytes of state to give to a thread at least: some 20 microseconds
  parallel_for(0, batch * heads, kWorthwhile / kv_bytes + 1, [&](int64_t first, int64_t last) {
    const Scratch scratch(kernels.one_token_scratch(inputs));
    for (int64_t task = first; task < last; ++task) {
      const int64_t row = task / heads, head = task % heads, slot = slot_of_row[row];
      kernels.one_token(
          inputs, row, head,
          {kv_states + slot * kv_slot_bytes + head * kv_bytes, k_states + slot * k_slot_bytes + head * k_bytes},
          outputs, scratch.get());
    }
  });
  return y;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) { m.impl("_based_decode_", TORCH_BOX(&wkv::based_decode_cpu)); }
