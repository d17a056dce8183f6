// Gradients that blocks found in parts, summed in a fixed order; see core/cuda/launch.h.
#include "core/cuda/launch.h"

namespace wkv::cuda {
namespace {

constexpr int kThreads = 256, kMostShares = 8;

// parts: [count, n]. A block has the threads for kThreads / shares sums, of which each takes every shares-th part; with
// several shares there is shared memory for a sum of each thread.
template <class part_t, class to_t>
__global__ void __launch_bounds__(kThreads)
    sum_parts_kernel(const part_t* parts, int64_t count, int64_t n, int shares, to_t* to) {
  const int columns = kThreads / shares, thread = static_cast<int>(threadIdx.x), share = thread / columns;
  const int64_t i = int64_t{blockIdx.x} * columns + thread % columns;
  double sum = 0;
  for (int64_t part = share; part < count && i < n; part += shares) sum += static_cast<double>(parts[part * n + i]);
  if (shares > 1) {
    auto* const sums = reinterpret_cast<double*>(shared_memory());
    sums[thread] = sum;
    __syncthreads();
    for (int other = 1; share == 0 && other < shares; ++other) sum += sums[other * columns + thread];
  }
  if (share == 0 && i < n) to[i] = static_cast<to_t>(static_cast<accumulate_t<to_t>>(sum));
}

}  // namespace

Tensor sum_of_parts(const Device& device, const Tensor& parts, const Tensor& like) {
  Tensor sum = new_empty(like, like.sizes());
  const int64_t count = parts.size(0), n = like.numel();
  const int shares = count < kMostShares ? 1 : kMostShares, columns = kThreads / shares;
  const int64_t shared_bytes = shares > 1 ? kThreads * static_cast<int64_t>(sizeof(double)) : 0;
  for_io_type(like, [&](auto to) {
    using to_t = decltype(to);
    const auto launch = [&](auto part) {
      using part_t = decltype(part);
      device.launch(sum_parts_kernel<part_t, to_t>, (n + columns - 1) / columns, kThreads, shared_bytes,
                    data<const part_t>(parts), count, n, shares, data<to_t>(sum));
    };
    parts.scalar_type() == ScalarType::Double ? launch(double{}) : launch(float{});
  });
  return sum;
}

}  // namespace wkv::cuda
