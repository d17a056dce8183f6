#include "core/parallel.h"

#include <ATen/Parallel.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace wkv::zoo {

void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& task) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex mutex;
  const auto threads = std::min(count, static_cast<std::size_t>(at::get_num_threads()));
  torch::stable::parallel_for(0, static_cast<int64_t>(threads), /*grain_size=*/1, [&](int64_t, int64_t) {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        task(i);
      } catch (...) {  // nothing but a code would come through PyTorch's C interface
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace wkv::zoo
