// The _gated_head_norm kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/rows.h"
#include "core/simd/scalars.h"
#include "gated_head_norm/gated_head_norm.h"

namespace wkv::WKV_ISA {
namespace {

// A head of a token, its rows padded with zeros to whole vectors.
template <class io_t>
class GatedHead {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;

  GatedHead(const GatedHeadNormInputs& in, int64_t token, int64_t head)
      : in_(in), at_((token * in.heads + head) * in.head_size), parameter_at_(head * in.head_size) {
    load_parameter(in.x, at_, x_);
    load_parameter(in.weight, parameter_at_, weight_);
    load_parameter(in.bias, parameter_at_, z_);
    load(in.gate, gate_);
    V sum = {};
    for_vectors([&](int64_t i, V) { sum += at(x_, i); });
    const acc_t size = static_cast<acc_t>(N), mean = sum_of_lanes<acc_t>(sum) / size;
    V squares = {};
    for_vectors([&](int64_t i, V inside) {
      const V difference = (at(x_, i) - mean) * inside;
      squares = fma(difference, difference, squares);
    });
    const acc_t variance = sum_of_lanes<acc_t>(squares) / size + static_cast<acc_t>(in.eps);
    scale_ = 1 / square_root(variance);
    for_vectors([&](int64_t i, V inside) {
      set(x_, i, (at(x_, i) - mean) * inside * scale_);  // n
      set(z_, i, fma(at(x_, i), at(weight_, i), at(z_, i)));
    });
    if (in.bonus.values) add_bonus();
  }

  void store_output(void* y) const {
    for_vectors([&](int64_t i, V) { store_at(y, i, at(z_, i) * gate(i)); });
  }

  void store_gradients(const GatedHeadNormGradients& grad) const {
    acc_t dn[kRow], dz[kRow];
    load(grad.y, dz);
    V sum = {}, with_n = {};
    for_vectors([&](int64_t i, V) {
      const V dy = at(dz, i), g = at(gate_, i), sigmoid = acc_t{1} / (acc_t{1} + exp(-g));
      const V slope = in_.silu ? sigmoid * fma(g, acc_t{1} - sigmoid, broadcast(acc_t{1})) : broadcast(acc_t{1});
      store_at(grad.gate, i, dy * at(z_, i) * slope);
      set(dz, i, dy * gate(i));
      set(dn, i, at(dz, i) * at(weight_, i));
      sum += at(dn, i);
      with_n = fma(at(dn, i), at(x_, i), with_n);
      add(grad.weight, i, at(dz, i) * at(x_, i));
      add(grad.bias, i, at(dz, i));
    });
    const acc_t size = static_cast<acc_t>(N), mean = sum_of_lanes<acc_t>(sum) / size,
                mean_with_n = sum_of_lanes<acc_t>(with_n) / size;
    for_vectors([&](int64_t i, V) { set(dn, i, scale_ * (at(dn, i) - mean - at(x_, i) * mean_with_n)); });
    store_x(grad.x, dn);
    if (in_.bonus.values) store_bonus_gradients(grad, dz);
  }

 private:
  static constexpr int W = kLanes<acc_t>;
  static constexpr int64_t kRow = kMostNormHeadSize;  // whole vectors of every instruction set

  // use(i, 1 in the lanes within the row, else 0)
  template <class Use>
  void for_vectors(const Use& use) const {
    for (int64_t i = 0; i < N; i += W) {
      V inside = broadcast(acc_t{1});
      for (int64_t j = N - i; j < W; ++j) inside[j] = 0;
      use(i, inside);
    }
  }
  static V at(const acc_t* row, int64_t i) { return WKV_ISA::load(row + i); }
  static void set(acc_t* row, int64_t i, V value) { store(row + i, value); }

  void load(const void* tensor, acc_t* row) const { load_row(row_of<io_t>(tensor, at_), N, row); }
  void load_parameter(const ParameterRow& tensor, int64_t offset, acc_t* row) const {
    if (!tensor.is_float) return load_row(row_of<io_t>(tensor.values, offset), N, row);
    load_float_row(row_of<float>(tensor.values, offset), N, row);
    for (int64_t i = N; i % W; ++i) row[i] = 0;
  }
  void store_at(void* tensor, int64_t i, V value) const { store_part(row_of<io_t>(tensor, at_), value, i, N); }
  void store_x(void* tensor, const acc_t* row) const {
    if (!in_.x.is_float) return store_row(row, N, row_of<io_t>(tensor, at_));
    for (int64_t i = 0; i < N; ++i) row_of<float>(tensor, at_)[i] = static_cast<float>(row[i]);
  }
  void add(void* parameter, int64_t i, V value) const {
    acc_t* const row = row_of<acc_t>(parameter, parameter_at_);
    store_part(row, load_part(row, i, N) + value, i, N);
  }
  V gate(int64_t i) const {
    const V g = at(gate_, i);
    return in_.silu ? g / (acc_t{1} + exp(-g)) : g;
  }

  void add_bonus() {
    acc_t v[kRow];
    load(in_.r, r_);
    load(in_.k, k_);
    load(in_.v, v);
    load_parameter(in_.bonus, parameter_at_, bonus_);
    V sum = {};
    for_vectors([&](int64_t i, V) { sum = fma(at(r_, i) * at(k_, i), at(bonus_, i), sum); });
    strength_ = sum_of_lanes<acc_t>(sum);
    for_vectors([&](int64_t i, V) { set(z_, i, fma(broadcast(strength_), at(v, i), at(z_, i))); });
  }
  void store_bonus_gradients(const GatedHeadNormGradients& grad, const acc_t* dz) const {
    acc_t v[kRow];
    load(in_.v, v);
    V sum = {};
    for_vectors([&](int64_t i, V) {
      store_at(grad.v, i, at(dz, i) * strength_);
      sum = fma(at(dz, i), at(v, i), sum);
    });
    const V strength = broadcast(sum_of_lanes<acc_t>(sum));
    for_vectors([&](int64_t i, V) {
      store_at(grad.r, i, strength * at(k_, i) * at(bonus_, i));
      store_at(grad.k, i, strength * at(r_, i) * at(bonus_, i));
      add(grad.bonus, i, strength * at(r_, i) * at(k_, i));
    });
  }

  const GatedHeadNormInputs& in_;
  const int64_t at_, parameter_at_, N = in_.head_size;
  acc_t x_[kRow], weight_[kRow], z_[kRow], gate_[kRow];  // x_ becomes n
  acc_t r_[kRow], k_[kRow], bonus_[kRow];
  acc_t scale_, strength_;
};

template <class io_t>
void gated_head_norm_forward(const GatedHeadNormInputs& in, void* y, int64_t first, int64_t last) {
  for (int64_t token = first; token < last; ++token) {
    for (int64_t head = 0; head < in.heads; ++head) GatedHead<io_t>(in, token, head).store_output(y);
  }
}

template <class io_t>
void gated_head_norm_backward(const GatedHeadNormInputs& in, const GatedHeadNormGradients& grad, int64_t first,
                              int64_t last) {
  for (int64_t token = first; token < last; ++token) {
    for (int64_t head = 0; head < in.heads; ++head) GatedHead<io_t>(in, token, head).store_gradients(grad);
  }
}

template <class io_t>
constexpr GatedHeadNormKernels gated_head_norm_kernels_for() {
  return {gated_head_norm_forward<io_t>, gated_head_norm_backward<io_t>};
}

}  // namespace

extern const GatedHeadNormKernelTable gated_head_norm_kernels = {
    {gated_head_norm_kernels_for<float>(), gated_head_norm_kernels_for<double>(),
     gated_head_norm_kernels_for<BFloat16>(), gated_head_norm_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
