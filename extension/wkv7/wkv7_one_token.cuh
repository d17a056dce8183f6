// One token of wkv7 on the GPU, on states in place or from one tensor of states to another: what decoding does. See
// wkv7.h. A state is read once and written once, which is all that counts here: a thread has the same 16 bytes of
// keys of kRows rows of it, and asks for them all before it uses any.
#pragma once
#include "wkv7/wkv7_tile.cuh"

namespace wkv::cuda {

struct Wkv7OneTokenStates {
  const void* from;      // null: zeros
  void* to;              // may be `from`
  const int64_t* slots;  // the state of row i of the batch is slots[i]; null: i. One outside the pool: y is NaN
  int64_t pool_size, slot_stride;  // in elements
};

template <class io_t, int kKeys>
struct Wkv7OneTokenShape {
  static constexpr int kVector = Wkv7Vector<accumulate_t<io_t>>::kSize;
  static constexpr int kLanes = kKeys / kVector < 32 ? kKeys / kVector : 32;  // of a row of the state
  static constexpr int kVectors = kKeys / kVector / kLanes;
  static constexpr int kThreads = 128, kRows = 4 / kVectors > 0 ? 4 / kVectors : 1;
  static constexpr int kValues = kThreads / kLanes * kRows;  // of a block
};

// Blocks: rows of the batch * heads * value_blocks.
template <class io_t, int kKeys>
__global__ void __launch_bounds__(128)
    wkv7_one_token_kernel(Wkv7Inputs in, Wkv7OneTokenStates states, void* y, int64_t value_blocks) {
  using Shape = Wkv7OneTokenShape<io_t, kKeys>;
  using acc_t = accumulate_t<io_t>;
  using Vector = Wkv7Vector<acc_t>;
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kRows = Shape::kRows;
  const int64_t token = blockIdx.x / value_blocks;  // row of the batch * heads + head
  const int64_t row = token / in.heads, slot = states.slots ? states.slots[row] : row;
  const bool exists = slot >= 0 && slot < states.pool_size;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t first_value = blockIdx.x % value_blocks * Shape::kValues + threadIdx.x / kLanes;
  const auto value_of = [&](int m) { return first_value + m * (Shape::kThreads / kLanes); };
  const auto first_key = [&](int n) { return (n * kLanes + lane) * Vector::kSize; };
  const int64_t state = (exists ? slot : 0) * states.slot_stride + token % in.heads * in.value_size * in.key_size;
  const acc_t* const before = states.from ? static_cast<const acc_t*>(states.from) + state : nullptr;
  acc_t* const after = static_cast<acc_t*>(states.to) + state;
  const auto aligned = [&](const acc_t* p) {
    return in.key_size % Vector::kSize == 0 && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  };

  Vector S[kRows][kVectors];
  const bool whole_loads = aligned(before), whole_stores = aligned(after);
#pragma unroll
  for (int m = 0; m < kRows; ++m) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      S[m][n] = {};
      if (!before || !exists || value_of(m) >= in.value_size || first_key(n) >= in.key_size) continue;
      const acc_t* const keys = before + value_of(m) * in.key_size + first_key(n);
      if (whole_loads) {
        S[m][n] = load_vector(keys);
      } else {
        for (int c = 0; c < Vector::kSize; ++c) {
          if (first_key(n) + c < in.key_size) S[m][n].value[c] = keys[c];
        }
      }
    }
  }

  Vector r[kVectors] = {}, d[kVectors] = {}, k[kVectors] = {}, a[kVectors] = {}, b[kVectors] = {};
#pragma unroll
  for (int n = 0; n < kVectors; ++n) {
    for (int c = 0; c < Vector::kSize; ++c) {
      if (first_key(n) + c >= in.key_size) continue;
      const int64_t at = token * in.key_size + first_key(n) + c;
      r[n].value[c] = static_cast<acc_t>(static_cast<const io_t*>(in.r)[at]);
      k[n].value[c] = static_cast<acc_t>(static_cast<const io_t*>(in.k)[at]);
      a[n].value[c] = static_cast<acc_t>(static_cast<const io_t*>(in.a)[at]);
      b[n].value[c] = static_cast<acc_t>(static_cast<const io_t*>(in.b)[at]);
      d[n].value[c] = load_decay<io_t>(in.decay, at).factor;
    }
  }

#pragma unroll
  for (int m = 0; m < kRows; ++m) {
    const int64_t j = value_of(m), at = token * in.value_size + j;
    const bool mine = j < in.value_size;
    const acc_t v = mine ? static_cast<acc_t>(static_cast<const io_t*>(in.v)[at]) : 0;
    acc_t sa = 0, output = 0;
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      for (int c = 0; c < Vector::kSize; ++c) sa += a[n].value[c] * S[m][n].value[c];
    }
    sa = warp_sum<kLanes>(sa);
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      for (int c = 0; c < Vector::kSize; ++c) {
        acc_t& s = S[m][n].value[c];
        s = d[n].value[c] * s + (k[n].value[c] * v + b[n].value[c] * sa);
        output += r[n].value[c] * s;
      }
    }
    output = warp_sum<kLanes>(output);
    if (!mine) continue;
    if (lane == 0) static_cast<io_t*>(y)[at] = static_cast<io_t>(exists ? output : static_cast<acc_t>(NAN));
    if (!exists) continue;
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      if (first_key(n) >= in.key_size) continue;
      acc_t* const keys = after + j * in.key_size + first_key(n);
      if (whole_stores) {
        *reinterpret_cast<Vector*>(keys) = S[m][n];
      } else {
        for (int c = 0; c < Vector::kSize; ++c) {
          if (first_key(n) + c < in.key_size) keys[c] = S[m][n].value[c];
        }
      }
    }
  }
}

}  // namespace wkv::cuda
