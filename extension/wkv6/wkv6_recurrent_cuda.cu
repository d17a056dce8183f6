// Launches the forward of wkv6 token by token.
#include "wkv6/wkv6_cuda.h"
#include "wkv6/wkv6_recurrent.cuh"

namespace wkv::cuda {

void launch_wkv6_recurrent(const Device& device, const Wkv6Tensors& x, Wkv6Grid grid, const Wkv6Forward& out) {
  const Wkv6Inputs& in = x.inputs;
  for_io_type(x.r, [&](auto io) {
    for_wkv6_keys(in, [&](auto keys) {
      using io_t = decltype(io);
      // A warp at least; more values a block load r, k and w less often, where there are blocks enough without them.
      constexpr int kLanes = wkv6_lanes(keys);
      int64_t values = 64;
      const auto blocks = [&] {
        grid.value_parts = (in.value_size + values - 1) / values;
        return grid.blocks(in.heads);
      };
      while (values * kLanes > 32 && (values / 2 >= in.value_size || blocks() < 2 * device.multiprocessors())) {
        values /= 2;
      }
      const int64_t bytes =
          Wkv6TokenRows<io_t, keys>::elements(values) * sizeof(accumulate_t<io_t>) + Wkv6Stage<io_t>::bytes(in, values);
      device.launch(wkv6_recurrent_kernel<io_t, keys>, blocks(), static_cast<int>(values * kLanes), bytes, in, grid,
                    out);
    });
  });
}

}  // namespace wkv::cuda
