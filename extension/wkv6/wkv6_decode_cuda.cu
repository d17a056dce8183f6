// The decode step of wkv6 and wkv5 on CUDA.
#include "wkv6/wkv6_cuda.h"
#include "wkv6/wkv6_decode.cuh"

namespace wkv::cuda {

Tensor wkv6_decode(wkv::Decay decay, const Wkv6Arguments& arguments, const Tensor& pool, const Tensor& slots) {
  const Device device(arguments.r);
  const Wkv6Tensors x(decay, arguments);
  const Tensor slot_row = as_contiguous(slots);
  Tensor y = new_empty(x.v, x.v.sizes());
  constexpr int64_t kValues = kWkv6DecodeWarps * kWkv6DecodeValues;
  const int64_t parts = (x.inputs.value_size + kValues - 1) / kValues;
  for_io_type(x.r, [&](auto io) {
    using io_t = decltype(io);
    const auto launch = [&](auto keys) {
      device.launch(wkv6_decode_kernel<io_t, keys>, x.r.size(0) * x.inputs.heads * parts, 32 * kWkv6DecodeWarps, 0,
                    x.inputs, parts, pool.mutable_data_ptr(), pool.size(0), pool.stride(0), data<int64_t>(slot_row),
                    data<io_t>(y));
    };
    if (x.inputs.key_size <= 64) {
      launch(std::integral_constant<int, 64>{});
    } else if (x.inputs.key_size <= 128) {
      launch(std::integral_constant<int, 128>{});
    } else {
      launch(std::integral_constant<int, 256>{});
    }
  });
  return y;
}

}  // namespace wkv::cuda
