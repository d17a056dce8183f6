// wkv6 token by token: see wkv6.h. A thread owns a value and has its row of the state in registers; of more than 80
// keys several lanes share a value. Costs 3 N M multiply-adds a token, in order; for short sequences, and for fp64.
#pragma once
#include "wkv6/wkv6_task.cuh"

namespace wkv::cuda {

// Lanes that share a value: each has at most 80 keys.
constexpr int wkv6_lanes(int keys) { return keys > 128 ? 4 : keys > 80 ? 2 : 1; }

// A chunk as the threads read it, with keys up to kKeys that do nothing.
template <class io_t, int kKeys>
struct Wkv6TokenRows {
  using acc_t = accumulate_t<io_t>;
  acc_t *r, *k, *d;  // [token][kKeys]
  acc_t* u;          // [kKeys]
  acc_t* bonus;      // [token]: sum_i r_i u_i k_i
  acc_t* v;          // [token][values]
  int values;

  static constexpr int64_t elements(int64_t values) {
    return 3 * kWkv6Chunk * kKeys + kKeys + kWkv6Chunk + kWkv6Chunk * values;
  }
  __device__ Wkv6TokenRows(char* memory, int values_of_block) : values(values_of_block) {
    r = reinterpret_cast<acc_t*>(memory);
    k = r + kWkv6Chunk * kKeys;
    d = k + kWkv6Chunk * kKeys;
    u = d + kWkv6Chunk * kKeys;
    bonus = u + kKeys;
    v = bonus + kWkv6Chunk;
  }
  __device__ void load_u(const Wkv6Inputs& in, int64_t head, bool with_u) const {
    for (int i = static_cast<int>(threadIdx.x); i < kKeys; i += static_cast<int>(blockDim.x)) {
      u[i] = with_u && i < in.key_size ? load_parameter<io_t>(in.u, in.float_u, head * in.key_size + i) : acc_t{0};
    }
  }
  // A warp a token; `existing` of the values exist.
  __device__ void load(const Wkv6Inputs& in, const Wkv6Rows<io_t>& x, int count, int existing) const {
    const int lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(blockDim.x / 32);
    for (int t = static_cast<int>(threadIdx.x / 32); t < count; t += warps) {
      acc_t sum = 0;
      for (int i = lane; i < kKeys; i += 32) {
        const bool inside = i < in.key_size;
        const acc_t r_i = inside ? static_cast<acc_t>(x.r[t * x.key_stride + i]) : acc_t{0};
        const acc_t k_i = inside ? static_cast<acc_t>(x.k[t * x.key_stride + i]) : acc_t{0};
        r[t * kKeys + i] = r_i;
        k[t * kKeys + i] = k_i;
        d[t * kKeys + i] = inside ? load_decay<io_t>(x.decay, t * x.decay_stride + i).factor : acc_t{1};
        sum += r_i * u[i] * k_i;
      }
      sum = warp_sum(sum);
      if (lane == 0) bonus[t] = sum;
      for (int j = lane; j < values; j += 32) {
        v[t * values + j] = j < existing ? static_cast<acc_t>(x.v[t * x.value_stride + j]) : acc_t{0};
      }
    }
  }
};

template <class io_t, int kKeys>
__global__ void wkv6_recurrent_kernel(Wkv6Inputs in, Wkv6Grid grid, Wkv6Forward out) {
  using acc_t = accumulate_t<io_t>;
  using Vector = Wkv6Vector<acc_t>;
  constexpr int kLanes = wkv6_lanes(kKeys), kMine = kKeys / kLanes;
  const Wkv6Task task(in, grid);
  const int values = static_cast<int>(blockDim.x) / kLanes, column = static_cast<int>(threadIdx.x) / kLanes,
            lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t first_value = task.part * values, j = first_value + column;
  const int existing = static_cast<int>(in.value_size - first_value < values ? in.value_size - first_value : values);
  const Wkv6TokenRows<io_t, kKeys> rows(shared_memory(), values);
  const Wkv6Stage<io_t> stage(shared_memory() + Wkv6TokenRows<io_t, kKeys>::elements(values) * sizeof(acc_t), in,
                              values);

  // The lanes of a value take vectors of its keys in turn.
  acc_t state[kMine];
  const auto key = [&](int n) { return (n / Vector::kSize * kLanes + lane) * Vector::kSize + n % Vector::kSize; };
  const auto store_state = [&](void* states, int64_t at) {
#pragma unroll
    for (int n = 0; n < kMine; ++n) {
      if (column < existing && key(n) < in.key_size)
        static_cast<acc_t*>(states)[at + j * in.key_size + key(n)] = state[n];
    }
  };
#pragma unroll
  for (int n = 0; n < kMine; ++n) {
    const bool given = out.state_before && column < existing && key(n) < in.key_size;
    state[n] = given ? static_cast<const acc_t*>(out.state_before)[task.state(in) + j * in.key_size + key(n)] : 0;
  }

  rows.load_u(in, task.head, !task.from_right());
  if (task.length > 0) stage.start(in, Wkv6Rows<io_t>(in, task, 0, first_value), task.count(0), existing);
  for (int64_t t0 = 0; t0 < task.length; t0 += kWkv6Chunk) {
    const int count = task.count(t0);
    if (out.checkpoints) store_state(out.checkpoints, task.state_at(in, t0));
    wait_for_copies<0>();
    __syncthreads();
    rows.load(in, stage.rows(in, Wkv6Rows<io_t>(in, task, t0, first_value), existing), count, existing);
    __syncthreads();
    if (t0 + kWkv6Chunk < task.length) {
      const int64_t next = t0 + kWkv6Chunk;
      stage.start(in, Wkv6Rows<io_t>(in, task, next, first_value), task.count(next), existing);
    }
    for (int t = 0; t < count; ++t) {
      const acc_t v = rows.v[t * values + column];
      Vector sums = {};
#pragma unroll
      for (int n = 0; n < kMine; n += Vector::kSize) {
        const auto part = [&](const acc_t* row) { return *reinterpret_cast<const Vector*>(row + t * kKeys + key(n)); };
        const Vector r = part(rows.r), k = part(rows.k), d = part(rows.d);
#pragma unroll
        for (int i = 0; i < Vector::kSize; ++i) {
          sums.value[i] += r.value[i] * state[n + i];
          state[n + i] = d.value[i] * state[n + i] + k.value[i] * v;
        }
      }
      acc_t y = 0;
      for (int i = 0; i < Vector::kSize; ++i) y += sums.value[i];
      y = warp_sum<kLanes>(y) + rows.bonus[t] * v;
      if (out.y && lane == 0 && column < existing) {
        const int64_t row = task.direction * grid.sequences.tokens * in.heads + task.row(t0 + t);
        store_parameter<io_t>(out.y, out.float_y, row * in.value_size + j, y);
      }
    }
  }
  if (out.state_after) store_state(out.state_after, task.state(in));
}

}  // namespace wkv::cuda
