// One token of wkv4 on the lanes of a vector: what forward and backward share.
#pragma once
#include "core/arena.h"
#include "core/simd/channels.h"
#include "core/simd/log_sums.h"
#include "wkv4/wkv4.h"

namespace wkv::WKV_ISA {

// w and u of a range of channels, at the start of any scratch.
template <class acc_t>
struct Wkv4Parameters {
  Wkv4Parameters(Arena& arena, int64_t channels)
      : log_decay(arena.take<acc_t>(padded<acc_t>(channels))), u(arena.take<acc_t>(padded<acc_t>(channels))) {}
  acc_t *log_decay, *u;
};

template <class io_t>
void wkv4_start(const Wkv4Inputs& in, ChannelRange range, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t width = range.last - range.first;
  Arena arena(scratch);
  const Wkv4Parameters<acc_t> row(arena, width);
  // Finite, so that sums over no exponents but -inf stay what they are; the factor is 0 long before.
  const Vec<acc_t> least = broadcast<acc_t>(-1e30f);
  for_channels<acc_t>(0, width, [&](int64_t c, const auto& lanes) {
    store(row.log_decay + c, max(least, -exp(load_parameter<io_t>(in.w, range.first + c, lanes))));
    store(row.u + c, load_parameter<io_t>(in.u, range.first + c, lanes));
  });
}

// The rows a, b and p of a state, from some channel on. Element: the accumulation type, const where it is only read.
template <class Element>
struct Wkv4StateRows {
  using acc_t = std::remove_const_t<Element>;
  Wkv4StateRows(Element* first, int64_t stride) : a(first), b(a + stride), p(b + stride) {}
  template <class Lanes>
  LogSums<acc_t> load(int64_t c, const Lanes& lanes) const {
    return {lanes.load(p + c), {lanes.load(a + c), lanes.load(b + c)}};
  }
  template <class Lanes>
  void store(int64_t c, const Lanes& lanes, const LogSums<acc_t>& state) const {
    lanes.store(a + c, state.sums.values);
    lanes.store(b + c, state.sums.weights);
    lanes.store(p + c, state.exponent);
  }
  Element *a, *b, *p;
};

// The state before the first token, to other rows; none: the empty state.
template <class acc_t>
void wkv4_load_state(const void* state, int64_t channels, ChannelRange range, const Wkv4StateRows<acc_t>& to) {
  const Wkv4StateRows<const acc_t> from(row_of<acc_t>(state, range.first), channels);
  for_channels<acc_t>(0, range.last - range.first, [&](int64_t c, const auto& lanes) {
    to.store(c, lanes, state ? from.load(c, lanes) : empty_log_sums<acc_t>());
  });
}

// The mean that a token reads: of the state before it and of its own value, which has the bonus u.
template <class acc_t>
inline Vec<acc_t> wkv4_read(const LogSums<acc_t>& before, Vec<acc_t> u, Vec<acc_t> k, Vec<acc_t> v) {
  const LogSums<acc_t> all = add(before, u + k, single<acc_t>(v));
  return all.sums.values / all.sums.weights;
}

}  // namespace wkv::WKV_ISA
