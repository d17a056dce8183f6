// The backward of wkv7 on the GPU, chunk after chunk on tensor cores. With the names of wkv7_chunk.cuh, S the state
// before a chunk, kept by a forward without outputs, and G = dL/d(state after it):
//   dSA = Arb^T dY + B~ G^T,  dZ = T^T dSA,  dV = Ark^T dY + K~ G^T + Aak^T dZ,  dS = G P_L + dY^T R~ + dZ^T A~
//   dR~ = dY S,  dA~ = dZ S,  dK~ = V G,  dB~ = SA G,  dP_L = sum_j S G
//   dArb = dY SA^T,  dArk = dY V^T,  dAab = dZ SA^T,  dAak = dZ V^T,  of which the lower triangles count
// From these, key by key: the decayed u_t = D_st k_s of a token s is read at the tokens t >= s (r), t + 1 (a) and at
// the chunk's end, so its gradient q goes back from there, with t:
//   q_t = d_{t+1} q_{t+1} + dArk_ts r_t + dAak_(t+1)s a_{t+1},   q_L = dK~_s;
//   dk_s = q_s,   dlog d_t += q_t u_t for t > s
// and likewise for b and for the state before the chunk. So no gradient of a decay is a difference of larger sums, and
// nothing is divided by a decay.
//
// A block has a head of a sequence; a warp has 16 values of G in registers from the last token to the first. What sums
// over values goes through shared memory, where a warp has 16 keys of it.
#pragma once
#include "wkv7/wkv7_chunk.cuh"
#include "wkv7/wkv7_recurrent_backward.cuh"

namespace wkv::cuda {

template <class io_t, int kSize>
class Wkv7ChunkedBackward {
  using Chunk = Wkv7Chunk<io_t, kSize>;
  using Tile = typename Chunk::Tile;
  using Values = typename Chunk::Values;
  static constexpr bool kExact = Chunk::kExact;
  static constexpr int kStride = Chunk::kStride, kRows = Chunk::kRows, kTokens = kWkv7Chunk;
  static_assert(4 * kTokens * kTokens <= Chunk::kMatrices);
  // The rows of the next chunk are under way where G and the rows of SA and dZ of this one were.
  static constexpr int kShared = kSize * kStride + 2 * kRows;
  static constexpr int kRawBytes = Tile::kRawBytes + 2 * Chunk::kRawValues * static_cast<int>(sizeof(io_t));
  static constexpr int kPassing = kShared * 4 > kRawBytes ? kShared * 4 : kRawBytes;
  // Where there is room for S in shared memory, it comes there; else it is read where it is.
  static constexpr bool kStateInShared = kSize <= 64;
  static constexpr int kState = kStateInShared ? kSize * kStride : 0;

 public:
  static constexpr int kSharedBytes =
      Tile::kBytes + (6 * kRows + 3 * kSize + Chunk::kMatrices + kState) * static_cast<int>(sizeof(float)) + kPassing;

  __device__ Wkv7ChunkedBackward(const Wkv7Batch& batch, const Wkv7BackwardCall& call)
      : in_(batch.in),
        call_(call),
        head_(batch.head(blockIdx.x)),
        x_(shared_memory()),
        r_(reinterpret_cast<float*>(shared_memory() + Tile::kBytes)),
        a_(r_ + kRows),
        k_(a_ + kRows),
        b_(k_ + kRows),
        v_(b_ + kRows),
        g_(v_ + kRows),
        end_(g_ + kRows),
        grad_end_(end_ + kSize),
        matrices_(grad_end_ + 2 * kSize),
        pairs_(matrices_.Aab),
        S_rows_(pairs_ + Chunk::kMatrices),
        sa_(S_rows_ + kState),
        z_(sa_ + kRows),
        G_rows_(z_ + kRows) {}

  __device__ void run() {
    for (int i = thread_; i < kState; i += Chunk::kThreads) S_rows_[i] = 0;
    Chunk::load_state(G_, head_, static_cast<const float*>(call_.grad_state) + head_.state());
    const int64_t length = head_.sequence.length, last = (length - 1) / kTokens * kTokens;
    if (length > 0) fetch(last);
    for (int64_t first = last; length > 0 && first >= 0; first -= kTokens) {
      before_ = static_cast<const float*>(call_.checkpoints) + head_.checkpoint(first);
      take(first);
      multiply_over_keys(first);
      __syncthreads();
      multiply_over_values();
      __syncthreads();
      if (first > 0) fetch(first - kTokens);
      back(first);
    }
    if (call_.state_before) Chunk::store_state(G_, head_, static_cast<float*>(call_.state_before) + head_.state());
  }

 private:
  __device__ int tokens_at(int64_t first) const {
    const int64_t left = head_.sequence.length - first;
    return static_cast<int>(left < kTokens ? left : kTokens);
  }

  __device__ char* raw() const { return reinterpret_cast<char*>(sa_); }
  __device__ io_t* raw_values() const { return reinterpret_cast<io_t*>(raw() + Tile::kRawBytes); }
  __device__ void fetch(int64_t first) const {
    Tile::fetch(raw(), in_, head_, first, tokens_at(first));
    Chunk::fetch_values(raw_values(), in_.v, head_, first, tokens_at(first));
    Chunk::fetch_values(raw_values() + Chunk::kRawValues, call_.grad_y, head_, first, tokens_at(first));
    commit_copies();
  }

  // The rows of the chunk, decayed as well, its matrices, and G in shared memory.
  __device__ void take(int64_t first) {
    const int tokens = tokens_at(first);
    wait_for_copies<0>();
    __syncthreads();
    matrices_.clear();
    x_.take(raw(), in_, tokens);
    Chunk::take_values(v_, raw_values(), head_, tokens);
    Chunk::take_values(g_, raw_values() + Chunk::kRawValues, head_, tokens);
    __syncthreads();
    if constexpr (kStateInShared) {
      fetch_rows<kSize, kStride>(S_rows_, before_, in_.key_size, static_cast<int>(in_.value_size),
                                 static_cast<int>(in_.key_size));
      commit_copies();
    }
    Chunk::multiply_pairs(x_, matrices_);
    Chunk::decay_rows(x_, r_, a_, k_, b_, end_);
    G_.for_each([&](int row, int key, float& g) { G_rows_[(Chunk::first_value() + row) * kStride + key] = g; });
    __syncthreads();
    if (thread_ < 32) Chunk::invert(matrices_);
    wait_for_copies<0>();
    __syncthreads();
  }

  // S from a row and a key on; a function for products.
  __device__ auto state_rows(int64_t first_row, int64_t first_key) const {
    if constexpr (kStateInShared) {
      return Chunk::rows(S_rows_ + first_row * kStride + first_key);
    } else {
      return [=, this](int row, int column) {
        const int64_t j = first_row + row, i = first_key + column;
        return j < in_.value_size && i < in_.key_size ? before_[j * in_.key_size + i] : 0.0f;
      };
    }
  }

  // What sums over keys and tokens, of this warp's values: SA and dZ, dV, and G from that of the state after the chunk
  // to that of the one before it.
  __device__ void multiply_over_keys(int64_t first) {
    const int value = Chunk::first_value();
    const auto g_columns = Chunk::transposed_rows(g_, value);
    Values of_state;
    of_state.clear();
    of_state.template add_product<kExact>(keys_, state_rows(value, 0), Chunk::transposed_rows(a_));
    Values sa = Chunk::solve(matrices_, v_, of_state);

    const auto of_G = Chunk::multiply_by_rows(G_, k_);  // G K~^T and G B~^T
    Values grad_sa = Chunk::part(of_G, 1), grad_v = Chunk::part(of_G, 0), z;
    grad_sa.template add_product<kExact>(kTokens, g_columns, Chunk::matrix(matrices_.Arb));
    z.clear();
    z.template add_product<kExact>(grad_sa, Chunk::matrix(matrices_.T));
    grad_v.template add_product<kExact>(kTokens, g_columns, Chunk::matrix(matrices_.Ark));
    grad_v.template add_product<kExact>(z, Chunk::matrix(matrices_.Aak));
    Chunk::store_values(grad_v, head_, first, tokens_at(first), call_.v);
    sa.for_each([&](int row, int token, float& x) { sa_[token * kStride + value + row] = x; });
    z.for_each([&](int row, int token, float& x) { z_[token * kStride + value + row] = x; });
    Chunk::scale_keys(G_, end_);
    G_.template add_product<kExact>(kTokens, g_columns, Chunk::rows(r_));
    G_.template add_product<kExact>(z, Chunk::rows(a_));
  }

  // What sums over values. A warp has a matrix of pairs of tokens, and 16 keys of dR~, dA~, dK~ and dB~, which come in
  // the place of R~, A~, K~ and B~.
  __device__ void multiply_over_values() {
    for (int n = thread_ / 32; n < 4; n += Chunk::kThreads / 32) {
      Values pairs;  // [t][s]: dArk, dArb, dAak, dAab
      pairs.clear();
      pairs.template add_product<kExact>(values_, Chunk::rows(n < 2 ? g_ : z_),
                                         Chunk::transposed_rows(n % 2 == 0 ? v_ : sa_));
      // Beside what token t reads of s by r, what t + 1 reads by a: both are of the decay up to t.
      const int back = n < 2 ? 0 : 1;
      pairs.for_each([&](int t, int s, float& x) {
        if (t >= back) pairs_[4 * (s * kTokens + t - back) + n] = x;
      });
    }
    const int key = thread_ / 32 * 16;
    const auto G_columns = [&](int row, int column) { return G_rows_[row * kStride + key + column]; };
    const auto multiply = [&](float* to, const float* left, const auto& right) {
      Values sum;  // [16 tokens, 16 keys]
      sum.clear();
      sum.template add_product<kExact>(values_, Chunk::rows(left), right);
      sum.for_each([&](int token, int column, float& x) { to[token * kStride + key + column] = x; });
    };
    multiply(r_, g_, state_rows(0, key));
    multiply(a_, z_, state_rows(0, key));
    multiply(k_, v_, G_columns);
    multiply(b_, sa_, G_columns);

    // dP_L, of half the values each.
    constexpr int kHalf = kSize / 2;
    const auto S = state_rows(half_ * kHalf, key_);
    float sum = 0;
    for (int j = 0; j < kHalf; ++j) sum += S(j, 0) * G_rows_[(half_ * kHalf + j) * kStride + key_];
    grad_end_[thread_] = sum;
  }

  // Back over the tokens of the chunk. A thread has a key; of the sums over tokens s, one half of the block has those
  // of every fourth and the ones before, the other the rest: as many steps for both.
  __device__ void back(int64_t first) {
    const int64_t keys = head_.keys(first) + key_, stride = in_.heads * in_.key_size;
    const int tokens = tokens_at(first);
    const bool inside = key_ < in_.key_size;
    float d[kTokens], product[kTokens], grad_r[kTokens] = {}, grad_a[kTokens] = {}, grad_log_d[kTokens] = {};
#pragma unroll
    for (int t = 0; t < kTokens; ++t) d[t] = x_.d[at(t)];

    if (half_ == 0) {  // what the chunk reads of the state before it
#pragma unroll
      for (int t = 0; t < kTokens; ++t) product[t] = (t > 0 ? product[t - 1] : 1) * d[t];
      float q = product[kTokens - 1] * (grad_end_[key_] + grad_end_[kSize + key_]);  // times what it is of: a sum
#pragma unroll
      for (int t = kTokens - 1; t >= 0; --t) {
        grad_r[t] = product[t] * r_[at(t)];
        q += grad_r[t] * x_.r[at(t)];
        grad_log_d[t] = q;
        grad_a[t] = (t > 0 ? product[t - 1] : 1) * a_[at(t)];
        q += grad_a[t] * x_.a[at(t)];
      }
    }

#pragma unroll 1
    for (int n = 0; n < kTokens / 2; ++n) {
      const int s = n / 2 * 4 + (half_ == 0 ? n % 2 * 3 : 1 + n % 2);
      const float k = x_.k[at(s)], b = x_.b[at(s)];
      float decayed = 1;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (t > s) decayed *= d[t];
        product[t] = decayed;
      }
      float grad_k = k_[at(s)], grad_b = b_[at(s)];  // dL/du_t, for the u of k and that of b
#pragma unroll
      for (int t = kTokens - 1; t >= 0; --t) {
        if (t < s) continue;
        const auto pairs = load_vector(pairs_ + 4 * (s * kTokens + t));
        const float ark = pairs.value[0], arb = pairs.value[1], aak = pairs.value[2], aab = pairs.value[3];
        const float r = x_.r[at(t)];
        grad_r[t] += product[t] * (ark * k + arb * b);
        if (t + 1 < kTokens) {
          const float a = x_.a[at(t + 1)];
          grad_a[t + 1] += product[t] * (aak * k + aab * b);
          grad_k = d[t + 1] * grad_k + aak * a;
          grad_b = d[t + 1] * grad_b + aab * a;
        }
        grad_k += ark * r;
        grad_b += arb * r;
        if (t > s) grad_log_d[t] += product[t] * (grad_k * k + grad_b * b);
      }
      if (!inside || s >= tokens) continue;
      static_cast<io_t*>(call_.k)[keys + s * stride] = static_cast<io_t>(grad_k);
      static_cast<io_t*>(call_.b)[keys + s * stride] = static_cast<io_t>(grad_b);
    }

    __syncthreads();
    if (half_ == 1) {
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        x_.r[at(t)] = grad_r[t];
        x_.a[at(t)] = grad_a[t];
        x_.d[at(t)] = grad_log_d[t];
      }
    }
    __syncthreads();
    if (half_ == 1 || !inside) return;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tokens) continue;
      const int64_t to = keys + t * stride;
      static_cast<io_t*>(call_.r)[to] = static_cast<io_t>(grad_r[t] + x_.r[at(t)]);
      static_cast<io_t*>(call_.a)[to] = static_cast<io_t>(grad_a[t] + x_.a[at(t)]);
      store_parameter<io_t>(call_.w, in_.decay.float_w, to,
                            (grad_log_d[t] + x_.d[at(t)]) * load_decay<io_t>(in_.decay, to).log_slope);
    }
  }
  __device__ int at(int token) const { return token * kStride + key_; }

  const Wkv7Inputs in_;
  const Wkv7BackwardCall call_;
  const Wkv7Head head_;
  const int thread_ = static_cast<int>(threadIdx.x), key_ = thread_ % kSize, half_ = thread_ / kSize;
  // Up to which products sum.
  const int keys_ = static_cast<int>(head_.key_size + 7) / 8 * 8;
  const int values_ = static_cast<int>(head_.value_size + 7) / 8 * 8;
  const Tile x_;
  float *const r_, *const a_, *const k_, *const b_;  // [16][kStride]: R~, A~, K~, B~, then their gradients
  float *const v_, *const g_;                        // [16][kStride]: V, dY
  float *const end_, *const grad_end_;               // [kSize]: P_L; [2][kSize]: dP_L from half the values each
  const typename Chunk::Matrices matrices_;
  float* const pairs_;          // [s][t][4], in the place of the matrices: dArk_ts, dArb_ts, dAak_(t+1)s, dAab_(t+1)s
  float* const S_rows_;         // [kSize][kStride]: S, or nothing
  float *const sa_, *const z_;  // [16][kStride]: SA, dZ
  float* const G_rows_;         // [kSize][kStride]: G of the state after the chunk
  typename Chunk::State G_;
  const float* before_;  // [value, key]: S
};

template <class io_t, int kSize>
__global__ void __launch_bounds__(2 * kSize) wkv7_chunked_backward_kernel(Wkv7Batch batch, Wkv7BackwardCall call) {
  Wkv7ChunkedBackward<io_t, kSize>(batch, call).run();
}

}  // namespace wkv::cuda
