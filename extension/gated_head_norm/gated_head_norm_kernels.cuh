// _gated_head_norm on the GPU: see gated_head_norm.h. A warp has a head of a token, each lane up to eight of its values
// in registers. Backward, a block has neighbouring tokens of one head, and its warps sum their parts of the parameters'
// gradients, which are summed over the blocks afterwards, in a fixed order.
#pragma once
#include "core/cuda/warp_head.cuh"
#include "gated_head_norm/gated_head_norm.h"

namespace wkv::cuda {

template <class io_t>
class GatedHead : private WarpHead<io_t, kMostNormHeadSize / 32> {
  using Head = WarpHead<io_t, kMostNormHeadSize / 32>;

 public:
  using Head::kValues;
  using typename Head::acc_t;

  __device__ GatedHead(const GatedHeadNormInputs& in, int64_t token, int64_t head)
      : Head(token, head, in.heads, in.head_size), in_(in) {
    acc_t sum = 0, squares = 0;
    for_values([&](int j, int64_t i) {
      n_[j] = load_parameter<io_t>(in.x.values, in.x.is_float, first() + i);
      sum += n_[j];
    });
    const acc_t size = static_cast<acc_t>(in.head_size), mean = warp_sum(sum) / size;
    for_values([&](int j, int64_t) {
      n_[j] -= mean;
      squares += n_[j] * n_[j];
    });
    scale_ = 1 / square_root(warp_sum(squares) / size + static_cast<acc_t>(in.eps));
    for_values([&](int j, int64_t) { n_[j] *= scale_; });
    if (!in.bonus.values) return;
    acc_t strength = 0;
    for_values([&](int, int64_t i) { strength += load(in.r, i) * load(in.k, i) * parameter(in.bonus, i); });
    strength_ = warp_sum(strength);
  }

  __device__ void store_output(io_t* y) const {
    for_values([&](int j, int64_t i) { y[first() + i] = static_cast<io_t>(ungated(j, i) * gate(i)); });
  }

  // sums: of this lane's values, for weight, bias and bonus.
  __device__ void store_gradients(const GatedHeadNormGradients& grad, acc_t (&sums)[3][kValues]) const {
    acc_t dz[kValues] = {}, sum = 0, with_n = 0, with_v = 0;
    for_values([&](int j, int64_t i) {
      const acc_t dy = load(grad.y, i);
      store(grad.gate, i, dy * ungated(j, i) * gate_slope(i));
      dz[j] = dy * gate(i);
      const acc_t dn = dz[j] * parameter(in_.weight, i);
      sum += dn;
      with_n += dn * n_[j];
      sums[0][j] += dz[j] * n_[j];
      sums[1][j] += dz[j];
      if (in_.bonus.values) with_v += dz[j] * load(in_.v, i);
    });
    const acc_t size = static_cast<acc_t>(in_.head_size), mean = warp_sum(sum) / size,
                mean_with_n = warp_sum(with_n) / size;
    for_values([&](int j, int64_t i) {
      const acc_t dx = scale_ * (dz[j] * parameter(in_.weight, i) - mean - n_[j] * mean_with_n);
      store_parameter<io_t>(grad.x, in_.x.is_float, first() + i, dx);
    });
    if (!in_.bonus.values) return;
    const acc_t dstrength = warp_sum(with_v);
    for_values([&](int j, int64_t i) {
      const acc_t r = load(in_.r, i), k = load(in_.k, i), bonus = parameter(in_.bonus, i);
      store(grad.v, i, dz[j] * strength_);
      store(grad.r, i, dstrength * k * bonus);
      store(grad.k, i, dstrength * r * bonus);
      sums[2][j] += dstrength * r * k;
    });
  }

 private:
  using Head::for_values, Head::load, Head::store, Head::parameter, Head::first;

  __device__ acc_t ungated(int j, int64_t i) const {
    const acc_t z = n_[j] * parameter(in_.weight, i) + parameter(in_.bias, i);
    return in_.bonus.values ? z + strength_ * load(in_.v, i) : z;
  }
  __device__ acc_t gate(int64_t i) const {
    const acc_t g = load(in_.gate, i);
    return in_.silu ? g / (1 + exponential(-g)) : g;
  }
  __device__ acc_t gate_slope(int64_t i) const {
    if (!in_.silu) return 1;
    const acc_t g = load(in_.gate, i), sigmoid = 1 / (1 + exponential(-g));
    return sigmoid * (1 + g * (1 - sigmoid));
  }

  const GatedHeadNormInputs& in_;
  acc_t n_[kValues] = {};
  acc_t scale_, strength_ = 0;
};

template <class io_t>
__global__ void gated_head_norm_kernel(GatedHeadNormInputs in, io_t* y) {
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (blockDim.x / 32);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32; i < in.tokens * in.heads;
       i += warps) {
    GatedHead<io_t>(in, i / in.heads, i % in.heads).store_output(y);
  }
}

// Block: part * heads + head; the part has part_tokens tokens. sums: [3, parts, heads, head_size]; shared memory: for
// store_head_sums.
template <class io_t>
__global__ void gated_head_norm_backward_kernel(GatedHeadNormInputs in, GatedHeadNormGradients grad,
                                                accumulate_t<io_t>* sums, int64_t part_tokens, int64_t parts) {
  using acc_t = accumulate_t<io_t>;
  constexpr int kValues = GatedHead<io_t>::kValues;
  const int64_t part = blockIdx.x / in.heads, head = blockIdx.x % in.heads, first = part * part_tokens;
  const int64_t last = first + part_tokens < in.tokens ? first + part_tokens : in.tokens;
  const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32);
  acc_t mine[3][kValues] = {};
  for (int64_t token = first + warp; token < last; token += warps) {
    GatedHead<io_t>(in, token, head).store_gradients(grad, mine);
  }
  store_head_sums(mine, in.head_size, sums + (part * in.heads + head) * in.head_size, parts * in.heads * in.head_size);
}

}  // namespace wkv::cuda
