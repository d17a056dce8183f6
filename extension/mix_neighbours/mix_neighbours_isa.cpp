// The _mix_neighbours kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/channels.h"
#include "mix_neighbours/mix_neighbours.h"

namespace wkv::WKV_ISA {
namespace {

// One vector of channels that have their neighbour in the same direction: where it is in the rows of the tensors.
template <class io_t, class Lanes>
struct MixNeighboursColumn {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  const MixNeighboursInputs in;  // a copy, which no store can change
  int64_t channel;
  Lanes lanes;

  int64_t at(int64_t token) const { return token * in.channels + channel; }
  int64_t at(int64_t mix, int64_t token) const { return at(mix * in.tokens + token); }
  V load_from(const void* tensor, int64_t element) const { return lanes.load(row_of<io_t>(tensor, element)); }
  void store_to(void* tensor, int64_t element, V value) const { lanes.store(row_of<io_t>(tensor, element), value); }
  // x' - x
  V difference(int64_t token, int64_t to_neighbour) const {
    const V x = load_from(in.x, at(token));
    return to_neighbour == kNoNeighbour ? -x : load_from(in.x, at(token + to_neighbour)) - x;
  }
  V mix(int64_t m, int64_t token) const {
    const V mix = load_parameter<io_t>(in.mixes, at(m), lanes);
    return in.changes ? mix + load_from(in.changes, at(m, token)) : mix;
  }
};

// Calls use(column, direction) for columns that together are the channels.
template <class io_t, class Use>
inline void for_columns(const MixNeighboursInputs& in, const Use& use) {
  for (const QShiftRun* run = in.runs; run < in.runs + in.run_count; ++run) {
    for_channels<accumulate_t<io_t>>(run->first, run->first + run->count, [&](int64_t channel, auto lanes) {
      use(MixNeighboursColumn<io_t, decltype(lanes)>{in, channel, lanes}, run->direction);
    });
  }
}

template <class io_t>
void mix_neighbours_forward(const MixNeighboursInputs& in, const MixNeighboursToken& token, void* mixed) {
  const int64_t t = token.index;
  for_columns<io_t>(in, [&](const auto& column, int direction) {
    const auto x = column.load_from(in.x, column.at(t)), difference = column.difference(t, token.neighbour[direction]);
    for (int64_t m = 0; m < in.count; ++m) {
      column.store_to(mixed, column.at(m, t), fma(difference, column.mix(m, t), x));
    }
  });
}

//   dx_t = sum_m g[m]_t (1 - mix[m]_t) + g[m]_s mix[m]_s,   s: the token whose neighbour t is
//   dmix[m] = sum_t g[m]_t (x'_t - x_t)
template <class io_t>
void mix_neighbours_backward(const MixNeighboursInputs& in, const MixNeighboursToken& token,
                             const MixNeighboursGradients& grad) {
  using acc_t = accumulate_t<io_t>;
  const int64_t t = token.index;
  for_columns<io_t>(in, [&](const auto& column, int direction) {
    const auto difference = column.difference(t, token.neighbour[direction]);
    const int64_t to_other = token.neighbour_of[direction], s = t + to_other;
    Vec<acc_t> dx = {};
    for (int64_t m = 0; m < in.count; ++m) {
      const auto g = column.load_from(grad.mixed, column.at(m, t)), change = g * difference;
      dx += g - g * column.mix(m, t);
      if (to_other != kNoNeighbour) dx = fma(column.load_from(grad.mixed, column.at(m, s)), column.mix(m, s), dx);
      acc_t* const sum = row_of<acc_t>(grad.mixes, column.at(m));
      column.lanes.store(sum, column.lanes.load(sum) + change);
      if (grad.changes) column.store_to(grad.changes, column.at(m, t), change);
    }
    column.store_to(grad.x, column.at(t), dx);
  });
}

template <class io_t>
constexpr MixNeighboursKernels mix_neighbours_kernels_for() {
  return {mix_neighbours_forward<io_t>, mix_neighbours_backward<io_t>};
}

}  // namespace

extern const MixNeighboursKernelTable mix_neighbours_kernels = {
    {mix_neighbours_kernels_for<float>(), mix_neighbours_kernels_for<double>(), mix_neighbours_kernels_for<BFloat16>(),
     mix_neighbours_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
