// Work that PyTorch's threads share.
#pragma once
#include <cstddef>
#include <functional>

namespace wkv::zoo {

// Calls task(i) for each i below count, in any order, on at most count of PyTorch's threads; then throws again what the
// first failed one threw. at::parallel_for would use one thread: it is parallel only in what is compiled with OpenMP.
void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& task);

}  // namespace wkv::zoo
