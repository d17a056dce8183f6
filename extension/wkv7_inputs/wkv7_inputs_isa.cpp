// The _wkv7_inputs kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/channels.h"
#include "core/simd/scalars.h"
#include "wkv7_inputs/wkv7_inputs.h"

namespace wkv::WKV_ISA {
namespace {

// A head of a token.
template <class io_t>
class Wkv7InputsHead {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  Wkv7InputsHead(const Wkv7InputsArguments& in, int64_t token, int64_t head)
      : in_(in), at_((token * in.heads + head) * in.head_size), parameter_at_(head * in.head_size) {
    V squares = {};
    for_vectors([&](int64_t i, auto lanes) {
      const V removal = load(in_.k, i, lanes) * parameter(in_.k_k, i, lanes);
      squares = fma(removal, removal, squares);
    });
    const acc_t length = square_root(sum_of_lanes<acc_t>(squares)), least = static_cast<acc_t>(kWkv7LeastLength);
    is_short_ = length < least;
    length_ = broadcast(is_short_ ? least : length);
  }

  void store_outputs(const Wkv7InputsOutputs& to) const {
    for_vectors([&](int64_t i, auto lanes) {
      const V k = load(in_.k, i, lanes), s = share(in_.a0, in_.rate, i, lanes),
              n = k * parameter(in_.k_k, i, lanes) / length_;
      lanes.store(row_of<acc_t>(to.w, at_ + i), kLogDecay * share(in_.w0, in_.decay, i, lanes));
      store(to.k, i, lanes, k * key_factor(s, parameter(in_.k_a, i, lanes)));
      store(to.a, i, lanes, -n);
      store(to.b, i, lanes, n * s);
      if (!in_.v) return;
      const V v = load(in_.v, i, lanes);
      store(to.v, i, lanes, fma(load(in_.first_value, i, lanes) - v, share(in_.v0, in_.residual, i, lanes), v));
    });
  }

  void store_gradients(const Wkv7InputsGradients& grad) const {
    V along = {};  // of n and its gradient
    for_vectors([&](int64_t i, auto lanes) {
      const V n = load(in_.k, i, lanes) * parameter(in_.k_k, i, lanes) / length_;
      along = fma(n, of_removal(grad, i, lanes), along);
    });
    const V projection = broadcast(is_short_ ? acc_t{0} : sum_of_lanes<acc_t>(along)), one = broadcast(acc_t{1});
    for_vectors([&](int64_t i, auto lanes) {
      const V decay_share = share(in_.w0, in_.decay, i, lanes);
      const V of_decay = lanes.load(row_of<acc_t>(grad.w, at_ + i)) * kLogDecay * decay_share * (one - decay_share);
      store(grad.decay, i, lanes, of_decay);
      add(grad.parameters[0], i, lanes, of_decay);

      const V k = load(in_.k, i, lanes), k_k = parameter(in_.k_k, i, lanes), k_a = parameter(in_.k_a, i, lanes),
              s = share(in_.a0, in_.rate, i, lanes), n = k * k_k / length_, of_k = load(grad.k, i, lanes);
      const V of_product = (of_removal(grad, i, lanes) - n * projection) / length_;  // of k k_k
      store(grad.k_in, i, lanes, fma(of_product, k_k, of_k * key_factor(s, k_a)));
      add(grad.parameters[2], i, lanes, of_product * k);
      add(grad.parameters[3], i, lanes, of_k * k * (s - one));
      const V of_rate = fma(load(grad.b, i, lanes), n, of_k * k * k_a) * s * (one - s);
      store(grad.rate, i, lanes, of_rate);
      add(grad.parameters[1], i, lanes, of_rate);

      if (!in_.v) return;
      const V difference = load(in_.first_value, i, lanes) - load(in_.v, i, lanes), of_v = load(grad.v, i, lanes),
              m = share(in_.v0, in_.residual, i, lanes), of_residual = of_v * difference * m * (one - m);
      store(grad.v_in, i, lanes, of_v * (one - m));
      store(grad.first_value, i, lanes, of_v * m);
      store(grad.residual, i, lanes, of_residual);
      add(grad.parameters[4], i, lanes, of_residual);
    });
  }

 private:
  static constexpr acc_t kLogDecay = static_cast<acc_t>(kWkv7LogDecay);

  // use(i, lanes) for the head's vectors
  template <class Use>
  void for_vectors(const Use& use) const {
    for_channels<acc_t>(0, in_.head_size, use);
  }
  template <class Lanes>
  V load(const void* tensor, int64_t i, const Lanes& lanes) const {
    return lanes.load(row_of<io_t>(tensor, at_ + i));
  }
  template <class Lanes>
  void store(void* tensor, int64_t i, const Lanes& lanes, V value) const {
    lanes.store(row_of<io_t>(tensor, at_ + i), value);
  }
  template <class Lanes>
  V parameter(const ParameterRow& row, int64_t i, const Lanes& lanes) const {
    return load_parameter<io_t>(row, parameter_at_ + i, lanes);
  }
  template <class Lanes>
  void add(void* sums, int64_t i, const Lanes& lanes, V value) const {
    acc_t* const row = row_of<acc_t>(sums, parameter_at_ + i);
    lanes.store(row, lanes.load(row) + value);
  }
  template <class Lanes>
  V share(const ParameterRow& bias, const void* tensor, int64_t i, const Lanes& lanes) const {
    return acc_t{1} / (acc_t{1} + exp(-(load(tensor, i, lanes) + parameter(bias, i, lanes))));
  }
  static V key_factor(V s, V k_a) {
    const V one = broadcast(acc_t{1});
    return fma(s - one, k_a, one);
  }
  // The gradient of n.
  template <class Lanes>
  V of_removal(const Wkv7InputsGradients& grad, int64_t i, const Lanes& lanes) const {
    return fma(load(grad.b, i, lanes), share(in_.a0, in_.rate, i, lanes), -load(grad.a, i, lanes));
  }

  const Wkv7InputsArguments& in_;
  const int64_t at_, parameter_at_;
  V length_;  // of k k_k
  bool is_short_;
};

// use(head) for every head of the tokens.
template <class io_t, class Use>
void for_heads(const Wkv7InputsArguments& in, int64_t first, int64_t last, const Use& use) {
  for (int64_t token = first; token < last; ++token) {
    for (int64_t head = 0; head < in.heads; ++head) use(Wkv7InputsHead<io_t>(in, token, head));
  }
}

template <class io_t>
constexpr Wkv7InputsKernels wkv7_inputs_kernels_for() {
  return {[](const Wkv7InputsArguments& in, const Wkv7InputsOutputs& to, int64_t first, int64_t last) {
            for_heads<io_t>(in, first, last, [&](const auto& head) { head.store_outputs(to); });
          },
          [](const Wkv7InputsArguments& in, const Wkv7InputsGradients& grad, int64_t first, int64_t last) {
            for_heads<io_t>(in, first, last, [&](const auto& head) { head.store_gradients(grad); });
          }};
}

}  // namespace

extern const Wkv7InputsKernelTable wkv7_inputs_kernels = {
    {wkv7_inputs_kernels_for<float>(), wkv7_inputs_kernels_for<double>(), wkv7_inputs_kernels_for<BFloat16>(),
     wkv7_inputs_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
