// Parameters and raw decays as kernels read them.
#pragma once
#include "core/cuda/platform.cuh"
#include "core/decay_input.h"
#include "core/parameter_row.h"

namespace wkv::cuda {

// Element i of what is of the sequences' dtype, or fp32.
template <class io_t>
__device__ inline accumulate_t<io_t> load_parameter(const void* values, bool is_float, int64_t i) {
  using acc_t = accumulate_t<io_t>;
  if (is_float) return static_cast<acc_t>(static_cast<const float*>(values)[i]);
  return static_cast<acc_t>(static_cast<const io_t*>(values)[i]);
}
template <class io_t, class acc_t>
__device__ inline void store_parameter(void* values, bool is_float, int64_t i, acc_t value) {
  if (is_float) {
    static_cast<float*>(values)[i] = static_cast<float>(value);
  } else {
    static_cast<io_t*>(values)[i] = static_cast<io_t>(value);
  }
}

template <class acc_t>
struct Decay {
  acc_t factor;     // of a step: exp(-exp(w)), or exp(w)
  acc_t log_slope;  // d log(factor) / d w; 0 where the factor is 0: there exp(w) may have overflowed
};
template <class io_t>
__device__ inline Decay<accumulate_t<io_t>> load_decay(const DecayInput& in, int64_t i) {
  using acc_t = accumulate_t<io_t>;
  const acc_t outer = exponential(load_parameter<io_t>(in.w, in.float_w, i));
  if (in.log_decay) return {outer, outer == 0 ? acc_t{0} : acc_t{1}};
  const acc_t factor = exponential(-outer);
  return {factor, factor == 0 ? acc_t{0} : -outer};
}

}  // namespace wkv::cuda
