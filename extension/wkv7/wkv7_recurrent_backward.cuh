// The backward of wkv7 on the GPU, token after token: any sizes and dtypes; fp64 as well. The equations are in
// wkv7_backward_isa.h. Made for short sequences and unusual sizes: states and gradients pass through memory.
//
// A block has a head of a sequence and goes through its chunks from the last to the first: from the checkpoint before a
// chunk it recomputes the states after each of its tokens into scratch, then goes back through the tokens. Of G = dL/dS
// it makes two passes a token: in the first a warp has a row, a value with its keys, and sums over keys (dv, dsa); in
// the second a thread has a key and sums over values (dr, dw, dk, da, db), in groups of values, in a fixed order.
#pragma once
#include "wkv7/wkv7_tile.cuh"

namespace wkv::cuda {

struct Wkv7BackwardCall {
  const void *grad_y, *grad_state;  // of the state after
  void *r, *w, *k, *v, *a, *b;      // gradients
  void* state_before;               // null: not wanted
  const void* checkpoints;          // Wkv7Head::checkpoint
};

struct Wkv7RecurrentScratch {
  void* states;   // [blocks, chunk, value, key]
  void* work;     // [blocks, wkv7_recurrent_work]; null: it is in shared memory
  int64_t chunk;  // tokens; kWkv7Chunk, or less where no sequence has as many
};

inline constexpr int kWkv7BackwardThreads = 256;  // at least the largest head size

__host__ __device__ inline int64_t wkv7_value_groups(int64_t key_size) {
  return kWkv7BackwardThreads / key_size < 4 ? kWkv7BackwardThreads / key_size : 4;
}
// The elements that a block works on.
__host__ __device__ inline int64_t wkv7_recurrent_work(int64_t key_size, int64_t value_size, int64_t chunk) {
  return chunk * (5 * key_size + value_size) + value_size + wkv7_value_groups(key_size) * 5 * key_size +
         key_size * value_size;
}

template <class io_t>
class Wkv7RecurrentBackward {
 public:
  using acc_t = accumulate_t<io_t>;

  __device__ Wkv7RecurrentBackward(const Wkv7Batch& batch, const Wkv7BackwardCall& call,
                                   const Wkv7RecurrentScratch& scratch)
      : in_(batch.in), call_(call), head_(batch.head(blockIdx.x)), N(in_.key_size), M(in_.value_size) {
    auto* work = scratch.work
                     ? static_cast<acc_t*>(scratch.work) + blockIdx.x * wkv7_recurrent_work(N, M, scratch.chunk)
                     : reinterpret_cast<acc_t*>(shared_memory());
    for (acc_t** rows : {&r_, &d_, &k_, &a_, &b_}) *rows = work, work += scratch.chunk * N;
    sa_ = work;
    dsa_ = sa_ + scratch.chunk * M;
    partials_ = dsa_ + M;
    G_ = partials_ + groups_ * 5 * N;
    states_ = static_cast<acc_t*>(scratch.states) + blockIdx.x * scratch.chunk * M * N;
  }

  __device__ void run() {
    const auto* const grad_after = static_cast<const acc_t*>(call_.grad_state) + head_.state();
    for (int64_t i = thread_; i < M * N; i += kWkv7BackwardThreads) G_[i] = grad_after[i];
    const int64_t length = head_.sequence.length;
    for (int64_t first = (length - 1) / kWkv7Chunk * kWkv7Chunk; length > 0 && first >= 0; first -= kWkv7Chunk) {
      const int tokens = static_cast<int>(length - first < kWkv7Chunk ? length - first : kWkv7Chunk);
      before_ = static_cast<const acc_t*>(call_.checkpoints) + head_.checkpoint(first);
      __syncthreads();
      load(first, tokens);
      __syncthreads();
      recompute(first, tokens);
      __syncthreads();
      for (int t = tokens - 1; t >= 0; --t) back(first, t);
    }
    __syncthreads();
    if (!call_.state_before) return;
    acc_t* const grad_before = static_cast<acc_t*>(call_.state_before) + head_.state();
    for (int64_t i = thread_; i < M * N; i += kWkv7BackwardThreads) grad_before[i] = G_[i];
  }

 private:
  __device__ static acc_t at(const void* rows, int64_t i) {
    return static_cast<acc_t>(static_cast<const io_t*>(rows)[i]);
  }

  __device__ void load(int64_t first, int tokens) {
    for (int64_t i = thread_; i < tokens * N; i += kWkv7BackwardThreads) {
      const int64_t from = head_.keys(first + i / N) + i % N;
      r_[i] = at(in_.r, from);
      d_[i] = load_decay<io_t>(in_.decay, from).factor;
      k_[i] = at(in_.k, from);
      a_[i] = at(in_.a, from);
      b_[i] = at(in_.b, from);
    }
  }

  // The states after the tokens of the chunk, a warp for a row at a time.
  __device__ void recompute(int64_t first, int tokens) {
    for (int64_t j = warp_; j < M; j += kWarps) {
      acc_t S[kWkv7MaxHeadSize / 32] = {};
      for_keys([&](int n, int64_t i) { S[n] = before_[j * N + i]; });
      for (int t = 0; t < tokens; ++t) {
        const acc_t v = at(in_.v, head_.values(first + t) + j);
        acc_t sa = 0;
        for_keys([&](int n, int64_t i) { sa += a_[t * N + i] * S[n]; });
        sa = warp_sum(sa);
        if (lane_ == 0) sa_[t * M + j] = sa;
        for_keys([&](int n, int64_t i) {
          S[n] = d_[t * N + i] * S[n] + (k_[t * N + i] * v + b_[t * N + i] * sa);
          states_[(t * M + j) * N + i] = S[n];
        });
      }
    }
  }

  // Back over token t of the chunk: G is of the state after it, then of the one before it.
  __device__ void back(int64_t first, int t) {
    const int64_t keys = head_.keys(first + t), values = head_.values(first + t);
    for (int64_t j = warp_; j < M; j += kWarps) {
      const acc_t g = at(call_.grad_y, values + j);
      acc_t dv = 0, dsa = 0;
      for_keys([&](int, int64_t i) {
        const acc_t gradient = G_[j * N + i] + r_[t * N + i] * g;
        G_[j * N + i] = gradient;
        dv += gradient * k_[t * N + i];
        dsa += gradient * b_[t * N + i];
      });
      dv = warp_sum(dv);
      dsa = warp_sum(dsa);
      if (lane_ == 0) {
        static_cast<io_t*>(call_.v)[values + j] = static_cast<io_t>(dv);
        dsa_[j] = dsa;
      }
    }
    __syncthreads();
    const int64_t i = thread_ % N, group = thread_ / N;
    if (group < groups_) {
      const acc_t *const after = states_ + t * M * N + i, *const before = (t > 0 ? after - M * N : before_ + i);
      acc_t dr = 0, dd = 0, dk = 0, da = 0, db = 0;
      for (int64_t j = group; j < M; j += groups_) {
        const acc_t gradient = G_[j * N + i], s = before[j * N], dsa = dsa_[j];
        dr += after[j * N] * at(call_.grad_y, values + j);
        dd += gradient * s;
        dk += gradient * at(in_.v, values + j);
        da += s * dsa;
        db += gradient * sa_[t * M + j];
        G_[j * N + i] = d_[t * N + i] * gradient + a_[t * N + i] * dsa;
      }
      const acc_t sums[5] = {dr, dd, dk, da, db};
      for (int n = 0; n < 5; ++n) partials_[(group * 5 + n) * N + i] = sums[n];
    }
    __syncthreads();
    if (thread_ < N) {
      acc_t sums[5] = {};
      for (int64_t from = 0; from < groups_; ++from) {
        for (int n = 0; n < 5; ++n) sums[n] += partials_[(from * 5 + n) * N + thread_];
      }
      const Decay<acc_t> decay = load_decay<io_t>(in_.decay, keys + thread_);
      static_cast<io_t*>(call_.r)[keys + thread_] = static_cast<io_t>(sums[0]);
      store_parameter<io_t>(call_.w, in_.decay.float_w, keys + thread_, sums[1] * (decay.factor * decay.log_slope));
      static_cast<io_t*>(call_.k)[keys + thread_] = static_cast<io_t>(sums[2]);
      static_cast<io_t*>(call_.a)[keys + thread_] = static_cast<io_t>(sums[3]);
      static_cast<io_t*>(call_.b)[keys + thread_] = static_cast<io_t>(sums[4]);
    }
  }

  template <class Function>  // (n, i): key i is the n-th of this lane
  __device__ void for_keys(const Function& function) const {
#pragma unroll
    for (int n = 0; n < kWkv7MaxHeadSize / 32; ++n) {
      if (32 * n + lane_ < N) function(n, 32 * n + lane_);
    }
  }

  static constexpr int kWarps = kWkv7BackwardThreads / 32;
  const Wkv7Inputs in_;
  const Wkv7BackwardCall call_;
  const Wkv7Head head_;
  const int64_t N, M;
  const int thread_ = static_cast<int>(threadIdx.x), warp_ = thread_ / 32, lane_ = thread_ % 32;
  const int64_t groups_ = wkv7_value_groups(N);
  acc_t *r_, *d_, *k_, *a_, *b_;  // [chunk, key]
  acc_t *sa_, *dsa_;              // [chunk, value], [value]
  acc_t* partials_;               // [groups, 5, key]
  acc_t* G_;                      // [value, key]
  acc_t* states_;                 // [chunk, value, key]: after each token
  const acc_t* before_;           // [value, key]: before the chunk
};

template <class io_t>
__global__ void __launch_bounds__(kWkv7BackwardThreads)
    wkv7_recurrent_backward_kernel(Wkv7Batch batch, Wkv7BackwardCall call, Wkv7RecurrentScratch scratch) {
  Wkv7RecurrentBackward<io_t>(batch, call, scratch).run();
}

}  // namespace wkv::cuda
