// _based_decode_ on CUDA.
#include <cmath>

#include "based_linear_attention/based_decode_check.h"
#include "based_linear_attention/based_decode_kernels.cuh"
#include "core/cuda/launch.h"

namespace wkv::cuda {
namespace {

Tensor based_decode(Tensor q, Tensor k, Tensor v, Tensor kv_pool, Tensor k_pool, Tensor slots) {
  const char* const op = "_based_decode_";
  check_based_decode(op, q, k, v, kv_pool, k_pool, slots);
  const Device device(q);
  q = as_contiguous(q);
  k = as_contiguous(k);
  v = as_contiguous(v);
  slots = as_contiguous(slots);
  if (slots.is_cpu()) check_slot_values(op, slots.const_data_ptr<int64_t>(), slots.size(0), kv_pool.size(0));

  const int64_t size = q.size(2), values = v.size(2), features = k_pool.size(2);
  const double root = std::sqrt(static_cast<double>(size));
  const BasedDecodeCall call{.heads = q.size(1),
                             .slots = kv_pool.size(0),
                             .kv_stride = kv_pool.stride(0),
                             .k_stride = k_pool.stride(0),
                             .size = static_cast<int>(size),
                             .values = static_cast<int>(values),
                             .single = 1 / std::sqrt(root),
                             .pair = 1 / (std::sqrt(2.0) * root),
                             .eps = 1e-12};
  Tensor y = new_empty(v, v.sizes());
  for_io_type(q, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const int64_t shared_bytes =
        static_cast<int64_t>(sizeof(acc_t)) * (2 * size + 2 * features + kBasedDecodeWarps * (values + 1));
    device.launch(based_decode_kernel<io_t>, q.size(0) * q.size(1), kBasedDecodeThreads, shared_bytes, call,
                  data<io_t>(q), data<io_t>(k), data<io_t>(v), data<acc_t>(kv_pool), data<acc_t>(k_pool),
                  data<int64_t>(slots), data<io_t>(y));
  });
  return y;
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) { m.impl("_based_decode_", TORCH_BOX(&wkv::cuda::based_decode)); }
