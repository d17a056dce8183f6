// The backward of wkv6 within a chunk, key by key. A source, k_s or the state before the chunk, is carried from token
// to token by the decays, c_t = d_t c_{t-1}, and read by each: with the gradients dA of what r_t read of it,
//
//   dc_{t-1} = dA_ts r_t + d_t dc_t,   dr_t += dA_ts c_{t-1},   dk_s = dc_s,   d log d_t += c_t dc_t.
//
// Of k_s, c_s = k_s and at the chunk's end dc is dwritten_s; of the state, c before the chunk is 1, dA_ts is dread_t,
// and at the end dc is dtotal. Sums of products only: no quotients of decays, no differences of larger sums.
#pragma once
#include "wkv6/wkv6_chunk.cuh"

namespace wkv::cuda {

// Where a gradient goes: parts that are to be added, or, of one part, the gradient itself.
struct Wkv6GradientPart {
  void* values;
  bool is_float;  // whatever the io dtype
  int64_t size;   // of a part

  template <class io_t>
  __device__ void store(int64_t part, int64_t at, accumulate_t<io_t> value) const {
    store_parameter<io_t>(values, is_float, part * size + at, value);
  }
};
struct Wkv6GradientRows {
  Wkv6GradientPart r, k, w;  // [directions * value parts][tokens, heads, key]; of a constant decay, w is as u
  Wkv6GradientPart u;        // [directions * value parts * sequences][heads, key]
  Wkv6GradientPart v;        // [directions][tokens, heads, value]
};

// Two lanes share a key: one has the even sources, one the odd.
template <class io_t, int kKeys>
class Wkv6PairGradients {
  using acc_t = accumulate_t<io_t>;
  using Chunk = Wkv6Chunk<io_t, kKeys>;

 public:
  __device__ Wkv6PairGradients(const Wkv6Inputs& in, const Wkv6Grid& grid, const Wkv6Task& task,
                               const Wkv6GradientRows& to)
      : in_(in),
        task_(task),
        to_(to),
        part_(task.direction * static_cast<int>(grid.value_parts) + task.part),
        key_(static_cast<int>(threadIdx.x) / 2),
        odd_(threadIdx.x % 2 == 1),
        u_(0),
        constant_decay_(0) {}

  // chunk.read and chunk.written hold dread and dwritten.
  __device__ void add_chunk(const Chunk& chunk, const acc_t* pair_gradients, const acc_t* total_gradients, int64_t t0,
                            int count) {
    constexpr int L = kWkv6Chunk, kStride = Chunk::kStride;
    acc_t d[L], of_r[L] = {}, of_decay[L] = {}, carried[L];
    if (key_ >= in_.key_size) count = 0;
    const int64_t first = task_.row(t0) * in_.key_size + key_, step = task_.row_step * in_.key_size;
    const auto store = [&](const Wkv6GradientPart& to, int t, acc_t value) {
      if (t < count) to.store<io_t>(part_, first + t * step, value);
    };
    const auto r_of = [&](int t) { return chunk.r[t * kStride + key_]; };
    const auto of_pair = [&](int t, int s) { return pair_gradients[t * Chunk::kPairStride + s]; };
#pragma unroll
    for (int t = 0; t < L; ++t) d[t] = chunk.d[t * kStride + key_];

#pragma unroll
    for (int pair = 0; pair < L; pair += 2) {
      const int s = pair + odd_;
      const acc_t k = chunk.k[s * kStride + key_], r_s = r_of(s);
      carried[pair + 1] = odd_ ? k : d[pair + 1] * k;
      of_r[pair + 1] += odd_ ? acc_t{0} : of_pair(pair + 1, pair) * k;
#pragma unroll
      for (int t = pair + 2; t < L; ++t) {
        of_r[t] += of_pair(t, s) * carried[t - 1];
        carried[t] = d[t] * carried[t - 1];
      }
      acc_t of_carried = chunk.written[s * kStride + key_];
#pragma unroll
      for (int t = L - 1; t > pair + 1; --t) {
        of_decay[t] += carried[t] * of_carried;
        of_carried = of_pair(t, s) * r_of(t) + d[t] * of_carried;
      }
      if (!odd_) {
        of_decay[pair + 1] += carried[pair + 1] * of_carried;
        of_carried = of_pair(pair + 1, pair) * r_of(pair + 1) + d[pair + 1] * of_carried;
      }
      const acc_t own = of_pair(s, s), bonus = own * chunk.u[key_];
      if (odd_) {
        of_r[pair + 1] += bonus * k;
      } else {
        of_r[pair] += bonus * k;
      }
      u_ += own * r_s * k;
      store(to_.k, s, of_carried + bonus * r_s);
    }

    // The state's carrier, of which one lane keeps what it adds.
    carried[0] = d[0];
#pragma unroll
    for (int t = 1; t < L; ++t) carried[t] = d[t] * carried[t - 1];
    acc_t of_carried = total_gradients[key_];
#pragma unroll
    for (int t = L - 1; t >= 0; --t) {
      const acc_t of_read = chunk.read[t * kStride + key_];
      if (!odd_) {
        of_decay[t] += carried[t] * of_carried;
        of_r[t] += of_read * (t > 0 ? carried[t > 0 ? t - 1 : 0] : acc_t{1});
      }
      of_carried = of_read * r_of(t) + d[t] * of_carried;
    }

#pragma unroll
    for (int pair = 0; pair < L; pair += 2) {
      const int t = pair + odd_;
      store(to_.r, t, sum_of_lanes(of_r[pair], of_r[pair + 1]));
      const acc_t of_log = sum_of_lanes(of_decay[pair], of_decay[pair + 1]);
      if (t >= count) continue;
      const int64_t at = in_.constant_decay ? task_.head * in_.key_size + key_ : first + t * step;
      const acc_t of_w = of_log * load_decay<io_t>(in_.decay, at).log_slope;
      if (in_.constant_decay) {
        constant_decay_ += of_w;
      } else {
        to_.w.template store<io_t>(part_, at, of_w);
      }
    }
  }
  // After all chunks.
  __device__ void finish(const Wkv6Grid& grid) const {
    const int64_t at = task_.head * in_.key_size + key_, part = part_ * grid.sequences.count + task_.sequence;
    const acc_t u = warp_sum<2>(u_), w = warp_sum<2>(constant_decay_);
    if (odd_ || key_ >= in_.key_size) return;
    to_.u.template store<io_t>(part, at, task_.from_right() ? acc_t{0} : u);
    if (in_.constant_decay) to_.w.template store<io_t>(part, at, w);
  }

 private:
  // Over the two lanes of a key: the even one gets the sum of its first and the other's first, the odd one of the
  // second.
  __device__ acc_t sum_of_lanes(acc_t first, acc_t second) const {
    return (odd_ ? second : first) + __shfl_xor_sync(~0u, odd_ ? first : second, 1);
  }

  const Wkv6Inputs& in_;
  const Wkv6Task& task_;
  const Wkv6GradientRows& to_;
  int part_, key_;
  bool odd_;
  acc_t u_, constant_decay_;
};

}  // namespace wkv::cuda
