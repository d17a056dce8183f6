// The forward of wkv4: the entry that wkv4_isa.cpp puts into the kernel table. The state after is also the state
// between the tokens.
#pragma once
#include "wkv4/wkv4_step_isa.h"

namespace wkv::WKV_ISA {

template <class io_t>
int64_t wkv4_forward_scratch(int64_t channels) {
  Arena arena(nullptr);
  Wkv4Parameters<accumulate_t<io_t>>(arena, channels);
  return arena.used();
}

template <class io_t>
void wkv4_forward(const Wkv4Inputs& in, const Wkv4Sequence& sequence, const Wkv4Outputs& out, ChannelRange range,
                  void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t width = range.last - range.first;
  Arena arena(scratch);
  const Wkv4Parameters<acc_t> parameters(arena, width);
  const Wkv4StateRows<acc_t> state(row_of<acc_t>(out.state_after, range.first), in.channels);
  if (sequence.state_before != out.state_after) {
    wkv4_load_state(sequence.state_before, in.channels, range, state);
  }
  const int64_t tokens = tokens_ahead(width);
  for (int64_t t = 0; t < sequence.length; ++t) {
    const int64_t row = (sequence.first_token + t) * in.channels + range.first;
    const io_t *k_row = row_of<io_t>(in.k, row), *v_row = row_of<io_t>(in.v, row);
    io_t* y_row = row_of<io_t>(out.y, row);
    const int64_t ahead = t + tokens < sequence.length ? tokens * in.channels : 0;
    for_channels<acc_t>(0, width, [&](int64_t c, const auto& lanes) {
      const Vec<acc_t> k = lanes.load(k_row + c), v = lanes.load(v_row + c);
      for (const io_t* soon : {k_row, v_row, static_cast<const io_t*>(y_row)}) __builtin_prefetch(soon + c + ahead);
      const LogSums<acc_t> before = state.load(c, lanes);
      lanes.store(y_row + c, wkv4_read(before, load(parameters.u + c), k, v));
      const LogSums<acc_t> decayed{before.exponent + load(parameters.log_decay + c), before.sums};
      state.store(c, lanes, add(decayed, k, single<acc_t>(v)));
    });
  }
}

}  // namespace wkv::WKV_ISA
