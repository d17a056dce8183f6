// What the parsers share among PyTorch's threads, for targets that link nothing of PyTorch.
#include "core/parallel.h"

namespace wkv::zoo {

void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& task) {
  for (std::size_t i = 0; i < count; ++i) task(i);
}

}  // namespace wkv::zoo
