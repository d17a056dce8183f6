// _wkv7_inputs on the GPU: see wkv7_inputs.h. A warp has a head of a token, each lane up to eight of its values.
// Backward, a block has neighbouring tokens of one head, and its warps sum their parts of the parameters' gradients,
// which are summed over the blocks afterwards, in a fixed order.
#pragma once
#include "core/cuda/warp_head.cuh"
#include "wkv7_inputs/wkv7_inputs.h"

namespace wkv::cuda {

template <class io_t>
class Wkv7InputsHead : private WarpHead<io_t, kWkv7MaxHeadSize / 32> {
  using Head = WarpHead<io_t, kWkv7MaxHeadSize / 32>;

 public:
  using Head::kValues;
  using typename Head::acc_t;

  __device__ Wkv7InputsHead(const Wkv7InputsArguments& in, int64_t token, int64_t head)
      : Head(token, head, in.heads, in.head_size), in_(in) {
    acc_t squares = 0;
    for_values([&](int j, int64_t i) {
      removal_[j] = load(in.k, i) * parameter(in.k_k, i);
      squares += removal_[j] * removal_[j];
    });
    const acc_t length = square_root(warp_sum(squares)), least = static_cast<acc_t>(kWkv7LeastLength);
    is_short_ = length < least;
    length_ = is_short_ ? least : length;
    for_values([&](int j, int64_t i) {
      removal_[j] /= length_;
      rate_[j] = share(in.a0, in.rate, i);
    });
  }

  __device__ void store_outputs(const Wkv7InputsOutputs& to) const {
    for_values([&](int j, int64_t i) {
      static_cast<acc_t*>(to.w)[first() + i] = kLogDecay * share(in_.w0, in_.decay, i);
      store(to.k, i, load(in_.k, i) * key_factor(j, i));
      store(to.a, i, -removal_[j]);
      store(to.b, i, removal_[j] * rate_[j]);
      if (!in_.v) return;
      const acc_t v = load(in_.v, i);
      store(to.v, i, v + (load(in_.first_value, i) - v) * share(in_.v0, in_.residual, i));
    });
  }

  // sums: of this lane's values, for w0, a0, k_k, k_a and v0.
  __device__ void store_gradients(const Wkv7InputsGradients& grad, acc_t (&sums)[kWkv7InputParameters][kValues]) const {
    acc_t of_removal[kValues] = {}, along = 0;
    for_values([&](int j, int64_t i) {
      of_removal[j] = load(grad.b, i) * rate_[j] - load(grad.a, i);
      along += of_removal[j] * removal_[j];
    });
    const acc_t projection = is_short_ ? acc_t{0} : warp_sum(along);
    for_values([&](int j, int64_t i) {
      const acc_t decay = share(in_.w0, in_.decay, i);
      const acc_t of_decay = static_cast<const acc_t*>(grad.w)[first() + i] * kLogDecay * decay * (1 - decay);
      store(grad.decay, i, of_decay);
      sums[0][j] += of_decay;

      const acc_t k = load(in_.k, i), of_k = load(grad.k, i), s = rate_[j],
                  of_product = (of_removal[j] - removal_[j] * projection) / length_;
      store(grad.k_in, i, of_product * parameter(in_.k_k, i) + of_k * key_factor(j, i));
      sums[2][j] += of_product * k;
      sums[3][j] += of_k * k * (s - 1);
      const acc_t of_rate = (load(grad.b, i) * removal_[j] + of_k * k * parameter(in_.k_a, i)) * s * (1 - s);
      store(grad.rate, i, of_rate);
      sums[1][j] += of_rate;

      if (!in_.v) return;
      const acc_t of_v = load(grad.v, i), m = share(in_.v0, in_.residual, i),
                  of_residual = of_v * (load(in_.first_value, i) - load(in_.v, i)) * m * (1 - m);
      store(grad.v_in, i, of_v * (1 - m));
      store(grad.first_value, i, of_v * m);
      store(grad.residual, i, of_residual);
      sums[4][j] += of_residual;
    });
  }

 private:
  static constexpr acc_t kLogDecay = static_cast<acc_t>(kWkv7LogDecay);

  using Head::for_values, Head::load, Head::store, Head::parameter, Head::first;

  __device__ acc_t share(const ParameterRow& bias, const void* tensor, int64_t i) const {
    return 1 / (1 + exponential(-(load(tensor, i) + parameter(bias, i))));
  }
  __device__ acc_t key_factor(int j, int64_t i) const { return 1 + (rate_[j] - 1) * parameter(in_.k_a, i); }

  const Wkv7InputsArguments& in_;
  acc_t removal_[kValues] = {}, rate_[kValues] = {};  // n and s
  acc_t length_;                                      // of k k_k
  bool is_short_;
};

template <class io_t>
__global__ void wkv7_inputs_kernel(Wkv7InputsArguments in, Wkv7InputsOutputs to) {
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (blockDim.x / 32);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32; i < in.tokens * in.heads;
       i += warps) {
    Wkv7InputsHead<io_t>(in, i / in.heads, i % in.heads).store_outputs(to);
  }
}

// Block: part * heads + head; the part has part_tokens tokens. sums: [5, parts, heads, head_size]; shared memory: for
// store_head_sums.
template <class io_t>
__global__ void wkv7_inputs_backward_kernel(Wkv7InputsArguments in, Wkv7InputsGradients grad, accumulate_t<io_t>* sums,
                                            int64_t part_tokens, int64_t parts) {
  const int64_t part = blockIdx.x / in.heads, head = blockIdx.x % in.heads, first = part * part_tokens;
  const int64_t last = first + part_tokens < in.tokens ? first + part_tokens : in.tokens;
  const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32);
  accumulate_t<io_t> mine[kWkv7InputParameters][Wkv7InputsHead<io_t>::kValues] = {};
  for (int64_t token = first + warp; token < last; token += warps) {
    Wkv7InputsHead<io_t>(in, token, head).store_gradients(grad, mine);
  }
  store_head_sums(mine, in.head_size, sums + (part * in.heads + head) * in.head_size, parts * in.heads * in.head_size);
}

}  // namespace wkv::cuda
