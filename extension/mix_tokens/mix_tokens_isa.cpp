// The _mix_tokens kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/rows.h"
#include "mix_tokens/mix_tokens.h"

namespace wkv::WKV_ISA {
namespace {

// The vector at element `at` of a parameter of the sequences' dtype or fp32, `left` elements before its end.
template <class io_t>
inline Vec<accumulate_t<io_t>> load_parameter(const ParameterRow& row, int64_t at, int64_t left) {
  using acc_t = accumulate_t<io_t>;
  if (!row.is_float) return load_part(row_of<io_t>(row.values, at), 0, left);
  if constexpr (sizeof(acc_t) == 4) {
    return load_part(row_of<float>(row.values, at), 0, left);
  } else {
    Vec<acc_t> x = {};
    for (int64_t i = 0; i < kLanes<acc_t> && i < left; ++i) x[i] = row_of<float>(row.values, at)[i];
    return x;
  }
}

// Of one vector of channels: where it is in the rows of the tensors.
template <class io_t>
struct MixTokensColumn {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  const MixTokensInputs& in;
  int64_t channel;

  int64_t left() const { return in.channels - channel; }
  int64_t at(int64_t token) const { return token * in.channels + channel; }
  int64_t at(int64_t mix, int64_t token) const { return (mix * in.tokens + token) * in.channels + channel; }
  V load_from(const void* tensor, int64_t element) const { return load_part(row_of<io_t>(tensor, element), 0, left()); }
  void store_to(void* tensor, int64_t element, V value) const {
    store_part(row_of<io_t>(tensor, element), value, 0, left());
  }
  V mix(int64_t m, int64_t token) const {
    const V mix = load_parameter<io_t>(in.mixes, m * in.channels + channel, left());
    return in.changes ? mix + load_from(in.changes, at(m, token)) : mix;
  }
};

template <class io_t>
void mix_tokens_forward(const MixTokensInputs& in, const MixTokensRun& run, void* mixed) {
  using acc_t = accumulate_t<io_t>;
  for (int64_t t = run.first; t < run.last; ++t) {
    for (int64_t c = 0; c < in.channels; c += kLanes<acc_t>) {
      const MixTokensColumn<io_t> column{in, c};
      const auto now = column.load_from(in.x, column.at(t));
      const auto before = t > run.first ? column.load_from(in.x, column.at(t - 1)) : column.load_from(run.before, c);
      for (int64_t m = 0; m < in.count; ++m) {
        column.store_to(mixed, column.at(m, t), fma(before - now, column.mix(m, t), now));
      }
    }
  }
}

//   dx_t = sum_m g[m]_t (1 - mix[m]_t) + g[m]_{t+1} mix[m]_{t+1},   dmix[m] = sum_t g[m]_t (p_t - x_t)
template <class io_t>
void mix_tokens_backward(const MixTokensInputs& in, const MixTokensRun& run, const MixTokensGradients& grad) {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  for (int64_t t = run.first; t < run.last; ++t) {
    const bool has_next = t + 1 < run.last || grad.next_in_sequence;
    for (int64_t c = 0; c < in.channels; c += kLanes<acc_t>) {
      const MixTokensColumn<io_t> column{in, c};
      const V now = column.load_from(in.x, column.at(t));
      const V before = t > run.first ? column.load_from(in.x, column.at(t - 1)) : column.load_from(run.before, c);
      V dx = {}, dbefore = {};
      if (grad.last && t + 1 == run.last) dx = column.load_from(grad.last, c);
      for (int64_t m = 0; m < in.count; ++m) {
        const V g = column.load_from(grad.mixed, column.at(m, t)), to_before = g * column.mix(m, t),
                change = g * (before - now);
        dx += g - to_before;
        dbefore += to_before;
        if (has_next) dx = fma(column.load_from(grad.mixed, column.at(m, t + 1)), column.mix(m, t + 1), dx);
        acc_t* const sum = row_of<acc_t>(grad.mixes, m * in.channels + c);
        store_part(sum, load_part(sum, 0, column.left()) + change, 0, column.left());
        if (grad.changes) column.store_to(grad.changes, column.at(m, t), change);
      }
      column.store_to(grad.x, column.at(t), dx);
      if (grad.before && t == run.first) column.store_to(grad.before, c, dbefore);
    }
  }
}

template <class io_t>
constexpr MixTokensKernels mix_tokens_kernels_for() {
  return {mix_tokens_forward<io_t>, mix_tokens_backward<io_t>};
}

}  // namespace

extern const MixTokensKernelTable mix_tokens_kernels = {
    {mix_tokens_kernels_for<float>(), mix_tokens_kernels_for<double>(), mix_tokens_kernels_for<BFloat16>(),
     mix_tokens_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
