// The forward of wkv6: the entry that wkv6_isa.cpp puts into the kernel table.
#pragma once
#include "wkv6/wkv6_one_token.h"
#include "wkv6/wkv6_scan.h"

namespace wkv::WKV_ISA {

template <class io_t>
struct Wkv6ForwardScratch {
  using acc_t = accumulate_t<io_t>;
  Wkv6ForwardScratch(Arena& arena, const Wkv6Inputs& in, int64_t first_value, int64_t values)
      : scan(arena, in, first_value, values) {
    for (acc_t*& row : y) row = arena.take<acc_t>(scan.columns);
  }
  Wkv6Scan<io_t> scan;
  acc_t* y[kWkv6Block];  // [columns]
};

template <class io_t>
int64_t wkv6_forward_scratch(const Wkv6Inputs& in) {
  Arena arena(nullptr);
  Wkv6ForwardScratch<io_t>(arena, in, 0, in.value_size);
  return arena.used();
}

template <class io_t>
void wkv6_forward(const Wkv6Inputs& in, const Wkv6Sequence& sequence, const Wkv6Outputs& out, const Wkv6Part& part,
                  void* scratch) {
  if (sequence.length == 1) {
    const int64_t row = Wkv6Rows(in, sequence, false)(0);
    return wkv6_one_token<io_t>(in, row, sequence.head, part.first_value, part.last_value, sequence.state_before,
                                out.state_after, out.y);
  }
  const int64_t values = part.last_value - part.first_value;
  Arena arena(scratch);
  const Wkv6ForwardScratch<io_t> my(arena, in, part.first_value, values);
  const Wkv6Rows rows(in, sequence, false);

  if (part.begin == 0) my.scan.start(rows, sequence.state_before, true);
  for (int64_t t = part.begin; t < part.end; t += kWkv6Block) {
    my.scan.block(rows, t, my.y, false, out.y);
    for (int64_t l = 0; l < kWkv6Block && t + l < part.end; ++l) {
      store_row(my.y[l], values, row_of<io_t>(out.y, rows(t + l) * in.value_size + part.first_value));
    }
  }
  if (part.end == sequence.length) my.scan.finish(out.state_after);
}

}  // namespace wkv::WKV_ISA
