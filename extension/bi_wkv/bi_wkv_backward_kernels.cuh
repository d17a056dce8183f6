// The backward of bi_wkv on the GPU, in the blocks of bi_wkv_kernels.cuh. The gradients of a token's key and value come
// from the outputs on both sides: sums again, of y and 1 weighted by dL/dy / the denominator that y was divided by,
// with minus the denominator's exponent. The decay's gradient pairs, at each token, the sums over the sources on one
// side with those over the outputs on the other. With spans:
//   spans, scan         of the sources
//   output spans, scan  of the outputs
//   backward            the gradients
// Cost of a token of a channel: 15 exps, a quarter of one for each other warp of the block, and a division; k, v and dy
// read, dk and dv written; with spans ten exps and a division more, k and v twice more, dy once.
#pragma once
#include "bi_wkv/bi_wkv_kernels.cuh"

namespace wkv::cuda {

// [.., channels] of the accumulation type.
template <class acc_t>
struct BiWkvScratch {
  acc_t *source_spans, *output_spans;  // [rows, spans, 2 sides, 3]; null: a row is one span
  acc_t *by_w, *by_u;                  // [rows, spans]: what each adds to the gradients of w and u
};

template <class io_t>
struct BiWkvGradients {
  const io_t* y;
  io_t *k, *v;
};

// A thread with its outputs and the sums over the sources that they read.
template <class io_t>
class BiWkvBackwardThread : public BiWkvThread<io_t> {
 public:
  using Thread = BiWkvThread<io_t>;
  using typename Thread::acc_t;

  __device__ BiWkvBackwardThread(const BiWkvInputs& inputs, const io_t* grad_y, acc_t* source_spans) : Thread(inputs) {
    Thread::load(grad_y, 0, g);
    const auto source = [&](int i) { return this->source(i); };
    const BothSides<acc_t> others = Thread::sums_of_others(Thread::own_sums(source), source_spans);
    Thread::from_right(others.right, source, [&](int i, const LogSums<acc_t>& sums) { right[i] = sums; });
    Thread::from_left(others.left, source, [&](int i, const LogSums<acc_t>& sums) {
      const BiWkvRead<acc_t> read(sums, right[i], this->u + this->k[i], this->v[i]);
      left[i] = sums;
      y[i] = read.y;
      top[i] = read.top;
      g[i] *= read.scale;
      if (i < this->count) by_u = fma(-read.own * g[i], read.less_v, by_u);
    });
  }
  // What the gradients of others get of output i.
  __device__ LogSums<acc_t> output(int i) const {
    return i < this->count ? LogSums<acc_t>{-top[i], {g[i] * y[i], g[i]}} : LogSums<acc_t>();
  }

  LogSums<acc_t> left[kBiWkvTokens], right[kBiWkvTokens];     // the sources on either side of each token
  acc_t y[kBiWkvTokens], top[kBiWkvTokens], g[kBiWkvTokens];  // g: dL/dy / the sum of all weights
  acc_t by_u = 0;
};

// With sums over sources and over outputs: what the loss changes by when the former's share in the latter grows by a
// factor.
template <class acc_t>
__device__ inline acc_t pairing(const Sums<acc_t>& sources, const Sums<acc_t>& outputs) {
  return fma(sources.values, outputs.weights, -(sources.weights * outputs.values));
}
// The derivative by the log decay of what the outputs on one side of a token read of the sources on the other.
template <class acc_t>
__device__ inline acc_t across(const LogSums<acc_t>& sources, const LogSums<acc_t>& outputs, acc_t log_decay) {
  return exponential(sources.exponent + log_decay + outputs.exponent) * pairing(sources.sums, outputs.sums);
}

template <class io_t>
__global__ void __launch_bounds__(kBiWkvBackwardWarps * 32)
    bi_wkv_output_spans_kernel(BiWkvInputs in, const io_t* grad_y, BiWkvScratch<accumulate_t<io_t>> scratch) {
  BiWkvBackwardThread<io_t> my(in, grad_y, scratch.source_spans);
  my.store_span(my.own_sums([&](int i) { return my.output(i); }), scratch.output_spans);
}

template <class io_t>
__global__ void __launch_bounds__(kBiWkvBackwardWarps * 32)
    bi_wkv_backward_kernel(BiWkvInputs in, BiWkvGradients<io_t> grad, BiWkvScratch<accumulate_t<io_t>> scratch) {
  using acc_t = accumulate_t<io_t>;
  BiWkvBackwardThread<io_t> my(in, grad.y, scratch.source_spans);
  const auto output = [&](int i) { return my.output(i); };
  const BothSides<acc_t> others = my.sums_of_others(my.own_sums(output), scratch.output_spans);
  acc_t by_log_decay = 0;
  // The outputs on the left take the place of the sources on the right.
  my.from_left(others.left, output, [&](int i, const LogSums<acc_t>& left) {
    if (i < my.count) by_log_decay += across(my.right[i], left, my.log_decay);
    my.right[i] = left;
  });
  my.from_right(others.right, output, [&](int i, const LogSums<acc_t>& right) {
    if (i >= my.count) return;
    const LogSums<acc_t>& left = my.right[i];
    const acc_t k = my.k[i], v = my.v[i], own = exponential(my.u + k - my.top[i]) * my.g[i];
    const Sums<acc_t> outputs =
        fma(exponential(k + left.exponent), left.sums, exponential(k + right.exponent) * right.sums);
    grad.k[my.at(i)] = static_cast<io_t>(fma(own, v - my.y[i], pairing({v, 1}, outputs)));
    grad.v[my.at(i)] = static_cast<io_t>(own + outputs.weights);
    by_log_decay += across(my.left[i], right, my.log_decay);
  });
  my.store_sum(-by_log_decay, scratch.by_w);
  my.store_sum(my.by_u, scratch.by_u);
}

}  // namespace wkv::cuda
