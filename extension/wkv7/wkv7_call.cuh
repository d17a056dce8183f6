// A call of wkv7 or its backward on CUDA: contiguous arguments and what the kernels take of them.
#pragma once
#include <vector>

#include "core/cuda/launch.h"
#include "wkv7/wkv7_chunk.cuh"
#include "wkv7/wkv7_recurrent.cuh"

namespace wkv::cuda {

template <int kSize>
using Size = std::integral_constant<int, kSize>;

// run(Size<n>{}) for the smallest n of kSizes, which ascend, that is not below `size`.
template <int kFirst, int... kRest, class Run>
void for_size(int64_t size, const Run& run) {
  if constexpr (sizeof...(kRest) == 0) {
    run(Size<kFirst>{});
  } else {
    if (size <= kFirst) return run(Size<kFirst>{});
    for_size<kRest...>(size, run);
  }
}

struct Wkv7Call {
  using OptionalTensor = std::optional<Tensor>;

  Device device;
  Tensor r, w, k, v, a, b;
  OptionalTensor state;
  Wkv7Batch batch;

  // The arguments have been checked.
  Wkv7Call(const char* op, const Tensor& r_, const Tensor& w_, const Tensor& k_, const Tensor& v_, const Tensor& a_,
           const Tensor& b_, const OptionalTensor& state_, const OptionalTensor& cu_seqlens, bool log_decay)
      : device(r_),
        r(as_contiguous(r_)),
        w(as_contiguous(w_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        a(as_contiguous(a_)),
        b(as_contiguous(b_)),
        state(state_ ? OptionalTensor(as_contiguous(*state_)) : std::nullopt),
        batch{.in = {.r = r.const_data_ptr(),
                     .k = k.const_data_ptr(),
                     .v = v.const_data_ptr(),
                     .a = a.const_data_ptr(),
                     .b = b.const_data_ptr(),
                     .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, log_decay},
                     .heads = r.size(2),
                     .key_size = r.size(3),
                     .value_size = v.size(3)},
              .sequences = device.sequences(op, r.size(0), r.size(1), cu_seqlens),
              .state_before = state ? state->const_data_ptr() : nullptr} {}

  int64_t sequence_heads() const { return batch.sequences.count * batch.in.heads; }
  // An upper bound of the length of a sequence: on the host no more is known of packed ones.
  int64_t longest() const { return r.size(1); }
  std::vector<int64_t> state_shape() const {
    return {batch.sequences.count, batch.in.heads, batch.in.value_size, batch.in.key_size};
  }

  // Calls launch(io_t{}, Size<n>{}), which returns whether the device has the shared memory for it, where chunked
  // kernels are for this call; else returns false. They are for sequences of some chunks: a token alone costs them as
  // much as 16.
  template <class Launch>
  bool launch_chunked(const Launch& launch) const {
    const int64_t size = std::max(batch.in.key_size, batch.in.value_size);
    const Form wish = wished_form();
    bool launched = false;
    if (size <= kWkv7MostChunkedSize &&
        (wish == Form::kByShape ? longest() >= 2 * kWkv7Chunk : wish == Form::kChunked)) {
      for_size<32, 64, kWkv7MostChunkedSize>(size, [&](auto compiled_size) {
        for_io_type(r, [&](auto io) {
          if constexpr (!std::is_same_v<decltype(io), double>) launched = launch(io, compiled_size);
        });
      });
    }
    return launched;
  }
};

// In the form that the call's shape asks for.
void launch_wkv7_forward(const Wkv7Call& call, const Wkv7ForwardOutputs& out);

}  // namespace wkv::cuda
