// The forward of wkv7: the entry that wkv7_isa.cpp puts into the kernel table.
#pragma once
#include "wkv7/wkv7_step.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct Wkv7ForwardScratch {
  Wkv7ForwardScratch(Arena& arena, int64_t key_size, int64_t value_size) {
    const int64_t columns = padded<acc_t>(value_size), rows = padded<acc_t>(key_size);
    state = arena.take<acc_t>(key_size * columns);
    for (acc_t** row : {&v, &sa, &y}) *row = arena.take<acc_t>(columns);
    for (acc_t** row : {&d, &k, &b, &r, &a_next}) *row = arena.take<acc_t>(rows);
  }
  acc_t* state;                   // [key][columns]
  acc_t *v, *sa, *y;              // [columns]
  acc_t *d, *k, *b, *r, *a_next;  // [key]
};

template <class io_t>
int64_t wkv7_forward_scratch(const Wkv7Inputs& in) {
  Arena arena(nullptr);
  Wkv7ForwardScratch<accumulate_t<io_t>>(arena, in.key_size, in.value_size);
  return arena.used();
}

template <class io_t>
void wkv7_forward(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Outputs& out, const Wkv7Part& part,
                  void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t N = in.key_size, T = sequence.length, first_value = part.first_value,
                values = part.last_value - first_value, columns = padded<acc_t>(values);
  Arena arena(scratch);
  Wkv7ForwardScratch<acc_t> my(arena, N, values);

  if (part.begin == 0 && sequence.state_before) {
    transpose(row_of<acc_t>(sequence.state_before, first_value * N), N, values, N, my.state, columns);
  } else if (part.begin == 0) {
    for (int64_t i = 0; i < N * columns; ++i) my.state[i] = 0;
  }
  if (part.begin == 0 && T > 0) {
    load_row(row_of<io_t>(in.a, Wkv7Rows(in, sequence, 0).key), N, my.a_next);
    multiply_state(my.a_next, my.state, N, columns, my.sa);
  }
  for (int64_t t = part.begin; t < part.end; ++t) {
    const Wkv7Rows at(in, sequence, t), next(in, sequence, t + 1 < T ? t + 1 : t),
        ahead(in, sequence, t + 3 < T ? t + 3 : t);
    const auto prefetch = wkv7_prefetch<io_t>(in, out.y, ahead, first_value, values);
    prefetch.rest(N);

    load_decay<io_t>(in.decay, at.key, N, my.d);
    const Wkv7Token<acc_t> x{.d = my.d,
                             .k = as_row(row_of<io_t>(in.k, at.key), N, my.k),
                             .b = as_row(row_of<io_t>(in.b, at.key), N, my.b),
                             .r = as_row(row_of<io_t>(in.r, at.key), N, my.r),
                             .a_next = as_row(row_of<io_t>(in.a, next.key), N, my.a_next),
                             .v = my.v};
    load_row(row_of<io_t>(in.v, at.value + first_value), values, my.v);
    step<true>(x, N, columns, my.state, my.state, my.sa, my.sa, my.y, prefetch);
    store_row(my.y, values, row_of<io_t>(out.y, at.value + first_value));
  }
  if (part.end == T) transpose(my.state, columns, N, values, row_of<acc_t>(out.state_after, first_value * N), N);
}

}  // namespace wkv::WKV_ISA
