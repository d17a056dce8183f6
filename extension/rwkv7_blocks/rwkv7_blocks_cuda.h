// RWKV-7's functions on CUDA, as wkv/rwkv7_blocks.h has them.
#pragma once
#include <type_traits>

#include "wkv/rwkv7_blocks.h"

namespace wkv::cuda {

bool rwkv7_can_decode(const rwkv7::Decode& model);
void rwkv7_decode(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x);
void rwkv7_mix(const rwkv7::Mix& in);
void rwkv7_prepare(const rwkv7::Prepare& in);
void rwkv7_finish(const rwkv7::Finish& in);
void rwkv7_square_relu(ParameterType type, void* x, int64_t count);

// run(std::integral_constant<int, size>{}); 0 for a size that is not known at compile time.
template <class Run>
void for_head_size(int64_t size, const Run& run) {
  if (size == 32) return run(std::integral_constant<int, 32>{});
  if (size == 64) return run(std::integral_constant<int, 64>{});
  if (size == 128) return run(std::integral_constant<int, 128>{});
  run(std::integral_constant<int, 0>{});
}

}  // namespace wkv::cuda
