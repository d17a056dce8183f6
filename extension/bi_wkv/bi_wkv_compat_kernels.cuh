// bi_wkv on the GPU as the published kernels compute it, which cut the tokens into chunks; but for their 1e-6 in the
// denominator, and like them without a guard for exponents beyond the reach of float. With the first token s of t's
// chunk, e^(k_i) has in y_t the factor
//   i < s: e^(-w (t - i)),   s <= i < t: e^(-w (t - i - 1)),   i > t: e^(-w (i - t)),   and i = t: e^u;
//   s < i <= t: (1 - e^w) e^(w (t - i)) more, left over from a difference of sums.
// The gradients of w and u are those of this y; the gradients of k and v have the factors of the definition.
//
// For comparisons, not for speed: a thread walks through a channel, with what its walks leave for each other in memory.
#pragma once
#include "bi_wkv/bi_wkv_backward_kernels.cuh"

namespace wkv::cuda {

inline constexpr int kBiWkvCompatThreads = 64;  // of a block

__device__ inline float exp_minus_one(float x) { return expm1f(x); }
__device__ inline double exp_minus_one(double x) { return expm1(x); }

template <class acc_t>
__device__ inline Sums<acc_t> operator+(Sums<acc_t> x, Sums<acc_t> y) {
  return {x.values + y.values, x.weights + y.weights};
}
template <class acc_t>
__device__ inline Sums<acc_t> operator-(Sums<acc_t> x) {
  return {-x.values, -x.weights};
}

// Sums over sources, and their derivative by w.
template <class acc_t>
struct SumsAndSlope {
  Sums<acc_t> sums, slope;
};
// Times a factor e^(-w), given as that - 1; or times e^w.
template <class acc_t>
__device__ inline SumsAndSlope<acc_t> decayed(acc_t minus_one, const SumsAndSlope<acc_t>& x) {
  const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
  return {sums, fma(minus_one, x.slope, x.slope) + -sums};
}
template <class acc_t>
__device__ inline SumsAndSlope<acc_t> grown(acc_t minus_one, const SumsAndSlope<acc_t>& x) {
  const Sums<acc_t> sums = fma(minus_one, x.sums, x.sums);
  return {sums, fma(minus_one, x.slope, x.slope) + sums};
}

// A channel of a row of the batch.
template <class io_t>
class BiWkvCompat {
 public:
  using acc_t = accumulate_t<io_t>;

  // kept: [rows, time, 4, channels].
  __device__ BiWkvCompat(const BiWkvInputs& in, int64_t chunks, acc_t* kept)
      : in_(in), kept_(kept), length_((in.time + chunks - 1) / chunks) {
    const int64_t channel_blocks = (in.channels + blockDim.x - 1) / blockDim.x;
    row = blockIdx.x / channel_blocks;
    channel = blockIdx.x % channel_blocks * blockDim.x + threadIdx.x;
    exists = channel < in.channels;
    if (!exists) return;
    const acc_t w = load_parameter<io_t>(in.w.values, in.w.is_float, channel);
    decay_ = exp_minus_one(-w);
    growth_ = exp_minus_one(w);
    bonus_ = exponential(load_parameter<io_t>(in.u.values, in.u.is_float, channel));
    reference_ = in.time > 0 ? value(in.k, in.time - 1) : 0;
  }

  // The sums on the right of each token, to its places 0 to 3.
  __device__ void sum_right() const {
    SumsAndSlope<acc_t> right;
    for (int64_t t = in_.time - 1; t >= 0; --t) {
      keep(t, 0, right.sums);
      keep(t, 2, right.slope);
      right = decayed(decay_, right);
      right.sums = right.sums + source(t);
    }
  }
  __device__ void write_y(io_t* y) {
    for (int64_t t = 0; t < in_.time; ++t) y[at(t)] = static_cast<io_t>(Output(*this, t, read(t).sums).y);
  }
  // The sums over the outputs on the left of each token, to its places 0 and 1, y and dL/dy / the denominator to the
  // others.
  __device__ void sum_left_outputs(const io_t* grad_y) {
    Sums<acc_t> outputs;
    for (int64_t t = 0; t < in_.time; ++t) {
      const SumsAndSlope<acc_t> others = read(t);
      const Output out(*this, t, others.sums);
      const acc_t g = value(grad_y, t) * out.scale;
      const Sums<acc_t> output = g * Sums<acc_t>{out.y, 1};
      by_u = fma(-out.own * g, out.less_v, by_u);
      by_w += pairing(others.slope, output);
      keep(t, 0, outputs);
      keep(t, 2, {out.y, g});
      outputs = fma(decay_, outputs, outputs) + output;
    }
  }
  __device__ void write_gradients(const BiWkvGradients<io_t>& grad) const {
    Sums<acc_t> right;
    for (int64_t t = in_.time - 1; t >= 0; --t) {
      const Sums<acc_t> outputs = kept(t, 0) + right, y_and_g = kept(t, 2);
      const acc_t v = value(in_.v, t), y = y_and_g.values, g = y_and_g.weights, own = bonus_ * g;
      grad.k[at(t)] = static_cast<io_t>(weight(t) * fma(own, v - y, pairing({v, 1}, outputs)));
      grad.v[at(t)] = static_cast<io_t>(weight(t) * (own + outputs.weights));
      right = fma(decay_, right, right) + g * Sums<acc_t>{y, 1};
    }
  }

  int64_t row, channel;
  bool exists;
  acc_t by_w = 0, by_u = 0;

 private:
  // Exactly v where there are no others.
  struct Output {
    __device__ Output(const BiWkvCompat& my, int64_t t, const Sums<acc_t>& others) {
      const acc_t v = my.value(my.in_.v, t);
      own = my.bonus_ * my.weight(t);
      scale = 1 / (others.weights + own);
      less_v = fma(-v, others.weights, others.values) * scale;
      y = v + less_v;
    }
    acc_t own, scale, less_v, y;  // less_v: y - v
  };

  __device__ int64_t at(int64_t t) const { return (row * in_.time + t) * in_.channels + channel; }
  __device__ acc_t value(const void* of, int64_t t) const {
    return static_cast<acc_t>(static_cast<const io_t*>(of)[at(t)]);
  }
  __device__ acc_t weight(int64_t t) const { return exponential(value(in_.k, t) - reference_); }
  __device__ Sums<acc_t> source(int64_t t) const { return weight(t) * Sums<acc_t>{value(in_.v, t), 1}; }

  __device__ acc_t* place(int64_t t, int i) const {
    return kept_ + ((row * in_.time + t) * 4 + i) * in_.channels + channel;
  }
  __device__ void keep(int64_t t, int i, const Sums<acc_t>& x) const {
    *place(t, i) = x.values;
    *place(t, i + 1) = x.weights;
  }
  __device__ Sums<acc_t> kept(int64_t t, int i) const { return {*place(t, i), *place(t, i + 1)}; }

  // What token t, the next of a walk, reads of the others.
  __device__ SumsAndSlope<acc_t> read(int64_t t) {
    const SumsAndSlope<acc_t> right = decayed(decay_, SumsAndSlope<acc_t>{kept(t, 0), kept(t, 2)});
    if (t % length_ == 0) {
      const SumsAndSlope<acc_t> handed_over = decayed(decay_, within_chunk_);
      before_chunk_ = {before_chunk_.sums + handed_over.sums, before_chunk_.slope + handed_over.slope};
      within_chunk_ = left_over_ = {};
    } else {
      left_over_ = grown(growth_, left_over_);
      left_over_.sums = left_over_.sums + source(t);
    }
    // The derivative of 1 - e^w is -e^w.
    const SumsAndSlope<acc_t> others = {
        fma(-growth_, left_over_.sums, before_chunk_.sums + within_chunk_.sums + right.sums),
        fma(-growth_, left_over_.slope + left_over_.sums,
            before_chunk_.slope + within_chunk_.slope + right.slope + -left_over_.sums)};
    before_chunk_ = decayed(decay_, before_chunk_);
    within_chunk_ = decayed(decay_, within_chunk_);
    within_chunk_.sums = within_chunk_.sums + source(t);
    return others;
  }

  const BiWkvInputs in_;
  acc_t* const kept_;
  const int64_t length_;  // tokens of a chunk
  acc_t decay_, growth_, bonus_, reference_;
  SumsAndSlope<acc_t> before_chunk_, within_chunk_, left_over_;  // left over: of the chunk but its first token
};

template <class io_t>
__global__ void __launch_bounds__(kBiWkvCompatThreads)
    bi_wkv_compat_forward_kernel(BiWkvInputs in, int64_t chunks, accumulate_t<io_t>* kept, io_t* y) {
  BiWkvCompat<io_t> my(in, chunks, kept);
  if (!my.exists) return;
  my.sum_right();
  my.write_y(y);
}

// by_w, by_u: [rows, channels].
template <class io_t>
__global__ void __launch_bounds__(kBiWkvCompatThreads)
    bi_wkv_compat_backward_kernel(BiWkvInputs in, int64_t chunks, accumulate_t<io_t>* kept, BiWkvGradients<io_t> grad,
                                  accumulate_t<io_t>* by_w, accumulate_t<io_t>* by_u) {
  BiWkvCompat<io_t> my(in, chunks, kept);
  if (!my.exists) return;
  my.sum_right();
  my.sum_left_outputs(grad.y);
  my.write_gradients(grad);
  by_w[my.row * in.channels + my.channel] = my.by_w;
  by_u[my.row * in.channels + my.channel] = my.by_u;
}

}  // namespace wkv::cuda
