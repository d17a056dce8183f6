// based_linear_attention on the GPU, token by token: any sizes, fp64 as well. A block for each head of a sequence.
//
// A state is S[feature][values + 1] in global memory, K as the column after the values: F (dv + 1) numbers that the
// first and second caches hold. Warps share the features; to a warp's features, lanes are columns where sums go over
// features, and features where sums go over columns. Backward as on the CPU (see
// based_linear_attention_backward_isa.h) with chunks of one token: forwards in time dL/dq, with the state before the
// token; backwards in time dL/dk and dL/dv, with the gradient R of the state after it.
// Cost of a token: 2 F (dv + 1) multiply-adds forward, 5 F (dv + 1) backward; the state read once a sweep, written
// once.
#pragma once
#include "based_linear_attention/based_linear_attention_features.cuh"

namespace wkv::cuda {

inline constexpr int kBasedWarps = 8, kBasedThreads = 32 * kBasedWarps;

// What a block has of a token, in shared memory.
template <class acc_t>
struct BasedToken {
  int size, features, columns;
  acc_t *q, *k;                    // [size + 1], with the 1
  acc_t *q_features, *k_features;  // [features]
  acc_t *gradient, *normaliser;    // [features]: of the features; K before the token
  acc_t *written, *read;           // [columns]: what is added to the state, times features; what it is multiplied with
  acc_t* partial;                  // [kBasedWarps][columns], or 3 sums each

  __device__ explicit BasedToken(const BasedCall& call)
      : size(call.size), features((size + 1) * (size + 2) / 2), columns(call.values + 1) {
    auto* at = reinterpret_cast<acc_t*>(shared_memory());
    const auto take = [&](int count) { return (at += count) - count; };
    q = take(size + 1);
    k = take(size + 1);
    q_features = take(features);
    k_features = take(features);
    gradient = take(features);
    normaliser = take(features);
    written = take(columns);
    read = take(columns);
    partial = take(kBasedWarps * (columns < 3 ? 3 : columns));
  }
  static int64_t shared_bytes(int64_t size, int64_t values) {
    return sizeof(acc_t) * (2 * (size + 1) + 2 * (size + 1) * (size + 2) + 2 * (values + 1) +
                            kBasedWarps * (values < 2 ? 3 : values + 1));
  }
};

// Token `at`, counted with the heads: q and k and their features.
template <class io_t, class acc_t>
__device__ void load_token(const BasedCall& call, const io_t* q, const io_t* k, int64_t at,
                           const BasedToken<acc_t>& token) {
  const int size = token.size;
  for (int i = threadIdx.x; i <= size; i += kBasedThreads) {
    token.q[i] = i < size ? static_cast<acc_t>(q[at * size + i]) * static_cast<acc_t>(call.scale) : acc_t{1};
    token.k[i] = i < size ? static_cast<acc_t>(k[at * size + i]) : acc_t{1};
  }
  __syncthreads();
  for (int pair = threadIdx.x; pair < (size + 1) * (size + 1); pair += kBasedThreads) {
    const int i = pair / (size + 1), j = pair % (size + 1);
    if (i > j) continue;
    const int p = based_feature(size, i, j);
    token.q_features[p] = token.q[i] * token.q[j] * (i == j && i < size ? acc_t(0.5) : acc_t{1});
    token.k_features[p] = token.k[i] * token.k[j];
  }
}

// dL/dx_i from the gradients of the features of x.
template <class acc_t>
__device__ acc_t element_gradient(const BasedToken<acc_t>& token, const acc_t* x, acc_t square_factor, int i) {
  const int size = token.size;
  acc_t sum = 0;
  for (int j = 0; j <= size; ++j) {
    const acc_t gradient = token.gradient[i < j ? based_feature(size, i, j) : based_feature(size, j, i)];
    sum += gradient * x[j] * (i == j ? 2 * square_factor : acc_t{1});
  }
  return sum;
}

// The inner product of a row of S and `read`.
template <class acc_t>
__device__ acc_t read_row(const BasedToken<acc_t>& token, const acc_t* row) {
  acc_t sum = 0;
  for (int c = 0; c < token.columns; ++c) sum += row[c] * token.read[c];
  return sum;
}
// S += features written^T; partial: the warps' sums of read_features S.
template <class acc_t>
__device__ void update_and_read(const BasedToken<acc_t>& token, const acc_t* features, const acc_t* read_features,
                                acc_t* state) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int c = lane; c < token.columns; c += 32) {
    acc_t sum = 0;
    for (int p = warp; p < token.features; p += kBasedWarps) {
      acc_t& s = state[int64_t{p} * token.columns + c];
      s += features[p] * token.written[c];
      sum += read_features[p] * s;
    }
    token.partial[warp * token.columns + c] = sum;
  }
}
template <class acc_t>
__device__ acc_t sum_of_warps(const acc_t* partial, int stride) {
  acc_t sum = 0;
  for (int warp = 0; warp < kBasedWarps; ++warp) sum += partial[warp * stride];
  return sum;
}

// Between the states in memory and S; each element by the thread that holds it.
template <class acc_t, class Use>  // (row of the state: a value, i, j, element of S)
__device__ void for_state(const BasedToken<acc_t>& token, acc_t* state, const Use& use) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, size = token.size;
  for (int i = 0; i <= size; ++i) {
    for (int j = i; j <= size; ++j) {
      const int p = based_feature(size, i, j);
      if (p % kBasedWarps != warp) continue;
      for (int c = lane; c < token.columns; c += 32) use(c, i, j, state[int64_t{p} * token.columns + c]);
    }
  }
}
template <class acc_t>
__device__ acc_t* load_state(const BasedCall& call, const BasedState<const acc_t>& from, const BasedScales& scales,
                             const BasedToken<acc_t>& token, acc_t* states) {
  acc_t* const state = states + int64_t{blockIdx.x} * token.features * token.columns;
  for_state(token, state, [&](int value, int i, int j, acc_t& element) {
    element = load_feature(from.row(call, blockIdx.x, value), scales, token.size, token.size, i, j);
  });
  return state;
}
template <class acc_t>
__device__ void store_state(const BasedCall& call, acc_t* state, const BasedScales& scales,
                            const BasedToken<acc_t>& token, const BasedState<const acc_t>& before,
                            const BasedState<acc_t>& after) {
  for_state(token, state, [&](int value, int i, int j, acc_t& element) {
    store_feature(element, before.row(call, blockIdx.x, value), after.row(call, blockIdx.x, value), scales, token.size,
                  token.size, i, j);
  });
}

// states: [rows, heads, features, values + 1] of scratch.
template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void based_forward_kernel(BasedCall call, const io_t* q, const io_t* k, const io_t* v,
                                     BasedState<const acc_t> before, acc_t* states, io_t* y, BasedState<acc_t> after) {
  const BasedToken<acc_t> token(call);
  const Sequence sequence = call.sequences[blockIdx.x / call.heads];
  if (sequence.length == 0) return copy_state_rows(call, before, after, blockIdx.x, 0, token.columns);
  acc_t* const state = load_state(call, before, call.to_packed, token, states);
  for (int64_t t = 0; t < sequence.length; ++t) {
    const int64_t at = (sequence.first_token + t) * call.heads + blockIdx.x % call.heads;
    for (int c = threadIdx.x; c < token.columns; c += kBasedThreads) {
      token.written[c] = c < call.values ? static_cast<acc_t>(v[at * call.values + c]) : acc_t{1};
    }
    load_token(call, q, k, at, token);
    __syncthreads();
    update_and_read(token, token.k_features, token.q_features, state);
    __syncthreads();
    const acc_t z = sum_of_warps(token.partial + call.values, token.columns) + static_cast<acc_t>(call.eps);
    for (int c = threadIdx.x; c < call.values; c += kBasedThreads) {
      const acc_t sum = sum_of_warps(token.partial + c, token.columns);
      y[at * call.values + c] = static_cast<io_t>(call.normalize ? sum / z : sum);
    }
  }
  store_state(call, state, call.to_full, token, before, after);
}

template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void based_query_gradients_kernel(BasedCall call, const io_t* q, const io_t* k, const io_t* v,
                                             const io_t* grad_y, BasedState<const acc_t> before, acc_t* states,
                                             BasedQuerySums<acc_t> sums, io_t* grad_q) {
  const BasedToken<acc_t> token(call);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Sequence sequence = call.sequences[blockIdx.x / call.heads];
  acc_t* const state = load_state(call, before, call.to_packed, token, states);
  for (int64_t t = 0; t < sequence.length; ++t) {
    const int64_t at = (sequence.first_token + t) * call.heads + blockIdx.x % call.heads;
    for (int c = threadIdx.x; c < token.columns; c += kBasedThreads) {
      token.written[c] = c < call.values ? static_cast<acc_t>(v[at * call.values + c]) : acc_t{1};
      token.read[c] = c < call.values ? static_cast<acc_t>(grad_y[at * call.values + c]) : acc_t{0};
    }
    load_token(call, q, k, at, token);
    __syncthreads();
    acc_t own = 0;
    for (int c = lane; c < call.values; c += 32) own += token.read[c] * token.written[c];
    own = warp_sum(own);
    acc_t dot = 0, past = 0, present = 0;  // the thread's part of g . N and of z, of the past and of the token
    for (int p = warp + kBasedWarps * lane; p < token.features; p += kBasedThreads) {
      const acc_t* const row = state + int64_t{p} * token.columns;
      token.gradient[p] = read_row(token, row);
      token.normaliser[p] = row[call.values];
      dot += token.q_features[p] * token.gradient[p];
      past += token.q_features[p] * token.normaliser[p];
      present += token.q_features[p] * token.k_features[p];
    }
    dot = warp_sum(dot);
    past = warp_sum(past);
    present = warp_sum(present);
    __syncwarp();  // the state is read before it is written
    for (int p = warp; p < token.features; p += kBasedWarps) {
      acc_t* const row = state + int64_t{p} * token.columns;
      for (int c = lane; c < token.columns; c += 32) row[c] += token.k_features[p] * token.written[c];
    }
    if (lane < 3) token.partial[warp * 3 + lane] = lane == 0 ? dot : lane == 1 ? past : present;
    __syncthreads();
    if (threadIdx.x == 0) {
      const acc_t z_of_past = sum_of_warps(token.partial + 1, 3);
      sums.set(call, at, z_of_past + sum_of_warps(token.partial + 2, 3),
               sum_of_warps(token.partial, 3) - z_of_past * own, own);
    }
    __syncthreads();
    const acc_t inverse = sums.inverse[at], dz = sums.dz[at], of_own = call.normalize ? -sums.mean[at] : own;
    for (int p = threadIdx.x; p < token.features; p += kBasedThreads) {
      token.gradient[p] = token.gradient[p] * inverse + token.normaliser[p] * dz + token.k_features[p] * of_own;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < call.size; i += kBasedThreads) {
      grad_q[at * call.size + i] =
          static_cast<io_t>(element_gradient(token, token.q, acc_t(0.5), i) * static_cast<acc_t>(call.scale));
    }
    __syncthreads();
  }
}

// before, after: the gradients of the states after and before the tokens.
template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void based_key_gradients_kernel(BasedCall call, const io_t* q, const io_t* k, const io_t* v,
                                           const io_t* grad_y, BasedState<const acc_t> after, acc_t* states,
                                           BasedQuerySums<acc_t> sums, io_t* grad_k, io_t* grad_v,
                                           BasedState<acc_t> before) {
  const BasedToken<acc_t> token(call);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Sequence sequence = call.sequences[blockIdx.x / call.heads];
  if (sequence.length == 0) return copy_state_rows(call, after, before, blockIdx.x, 0, token.columns);
  acc_t* const state = load_state(call, after, call.to_full, token, states);
  for (int64_t t = sequence.length - 1; t >= 0; --t) {
    const int64_t at = (sequence.first_token + t) * call.heads + blockIdx.x % call.heads;
    for (int c = threadIdx.x; c < token.columns; c += kBasedThreads) {
      token.written[c] =
          c < call.values ? static_cast<acc_t>(grad_y[at * call.values + c]) * sums.inverse[at] : sums.dz[at];
      token.read[c] = c < call.values ? static_cast<acc_t>(v[at * call.values + c]) : acc_t{1};
    }
    load_token(call, q, k, at, token);
    __syncthreads();
    acc_t own = 0;
    for (int c = lane; c < call.values; c += 32) own += token.read[c] * token.written[c];
    own = warp_sum(own);
    const acc_t of_own = call.normalize ? -sums.mean[at] : own;
    for (int p = warp + kBasedWarps * lane; p < token.features; p += kBasedThreads) {
      token.gradient[p] = read_row(token, state + int64_t{p} * token.columns) + token.q_features[p] * of_own;
    }
    __syncwarp();  // the state is read before it is written
    update_and_read(token, token.q_features, token.k_features, state);
    __syncthreads();
    for (int i = threadIdx.x; i < call.size; i += kBasedThreads) {
      grad_k[at * call.size + i] = static_cast<io_t>(element_gradient(token, token.k, acc_t{1}, i));
    }
    for (int c = threadIdx.x; c < call.values; c += kBasedThreads) {
      grad_v[at * call.values + c] = static_cast<io_t>(sum_of_warps(token.partial + c, token.columns));
    }
    __syncthreads();
  }
  store_state(call, state, call.to_packed, token, after, before);
}

}  // namespace wkv::cuda
