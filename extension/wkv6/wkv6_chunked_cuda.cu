// Launches the forward of wkv6 in chunks.
#include "wkv6/wkv6_chunked.cuh"
#include "wkv6/wkv6_cuda.h"

namespace wkv::cuda {

void launch_wkv6_chunked(const Device& device, const Wkv6Tensors& x, Wkv6Grid grid, const Wkv6Forward& out) {
  const Wkv6Inputs& in = x.inputs;
  const int warps = static_cast<int>(std::min<int64_t>((in.value_size + 15) / 16, 4)), values = 16 * warps;
  grid.value_parts = (in.value_size + values - 1) / values;
  const auto launch = [&](auto io) {
    using io_t = decltype(io);
    for_wkv6_keys(in, [&](auto keys) {
      const int64_t elements = Wkv6Chunk<io_t, keys>::kElements + kWkv6Chunk * wkv6_stride<float>(values),
                    bytes = elements * sizeof(float) + Wkv6Stage<io_t>::bytes(in, values);
      device.launch(wkv6_chunked_kernel<io_t, keys>, grid.blocks(in.heads), 32 * warps, bytes, in, grid, out);
    });
  };
  switch (io_type(x.r)) {
    case IoType::kBFloat16:
      return launch(BFloat16{});
    case IoType::kHalf:
      return launch(Half{});
    default:
      return launch(float{});
  }
}

}  // namespace wkv::cuda
