// The bi_wkv6 kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "bi_wkv6/bi_wkv6.h"
#include "wkv6/wkv6_scan.h"
#include "wkv6/wkv6_scan_back.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
struct BiWkv6ForwardScratch {
  using acc_t = accumulate_t<io_t>;
  BiWkv6ForwardScratch(Arena& arena, const Wkv6Inputs& in, const Wkv6Sequence& sequence, int64_t first_value,
                       int64_t values)
      : scan(arena, in, first_value, values),
        y(arena.take<acc_t>(sequence.length * scan.columns)),
        beyond(arena.take<acc_t>(scan.columns)) {}
  Wkv6Scan<io_t> scan;
  acc_t* y;       // [token][columns]
  acc_t* beyond;  // [columns]: of tokens beyond the end
};

template <class io_t>
int64_t bi_wkv6_forward_scratch(const Wkv6Inputs& in, int64_t length) {
  Arena arena(nullptr);
  BiWkv6ForwardScratch<io_t>(arena, in, {0, length, 0, nullptr}, 0, in.value_size);
  return arena.used();
}

template <class io_t>
void bi_wkv6_forward(const Wkv6Inputs& in, const Wkv6Sequence& sequence, void* y, int64_t first_value,
                     int64_t last_value, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t T = sequence.length;
  Arena arena(scratch);
  const BiWkv6ForwardScratch<io_t> my(arena, in, sequence, first_value, last_value - first_value);
  for (const bool from_right : {true, false}) {
    const Wkv6Rows rows(in, sequence, from_right);
    my.scan.start(rows, nullptr, !from_right);
    for (int64_t t = 0; t < T; t += kWkv6Block) {
      acc_t* y_rows[kWkv6Block];
      for (int64_t l = 0; l < kWkv6Block; ++l) {
        const int64_t token = from_right ? T - 1 - t - l : t + l;
        y_rows[l] = t + l < T ? my.y + token * my.scan.columns : my.beyond;
      }
      my.scan.block(rows, t, y_rows, !from_right, y);
      if (from_right) continue;
      for (int64_t l = 0; l < kWkv6Block && t + l < T; ++l) {
        store_row(y_rows[l], last_value - first_value, row_of<io_t>(y, rows(t + l) * in.value_size + first_value));
      }
    }
  }
}

// The gradients of the scan from the right, kept until those of the scan from the left are added.
template <class io_t>
struct BiWkv6BackwardScratch {
  using acc_t = accumulate_t<io_t>;
  BiWkv6BackwardScratch(Arena& arena, const Wkv6Inputs& in, const Wkv6Sequence& sequence, const Wkv6Gradients& out)
      : scan(arena, in, sequence, out),
        keys(padded<acc_t>(in.key_size)),
        columns(padded<acc_t>(in.value_size)),
        grad{arena.take<acc_t>(sequence.length * keys), arena.take<acc_t>(sequence.length * keys),
             arena.take<acc_t>(sequence.length * keys), arena.take<acc_t>(sequence.length * columns)} {}
  Wkv6ScanBack<io_t> scan;
  int64_t keys, columns;         // N and M, padded
  Wkv6RowGradients<acc_t> grad;  // [token][keys], v: [token][columns]
};

template <class io_t>
int64_t bi_wkv6_backward_scratch(const Wkv6Inputs& in, int64_t length) {
  Arena arena(nullptr);
  BiWkv6BackwardScratch<io_t>(arena, in, {0, length, 0, nullptr}, {});
  return arena.used();
}

template <class acc_t>
void keep_row(const acc_t* from, int64_t n, acc_t* to) {
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) store(to + i, load(from + i));
}
template <class acc_t>
void add_row(const acc_t* from, int64_t n, acc_t* to) {
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) store(to + i, load(to + i) + load(from + i));
}

template <class io_t>
void bi_wkv6_backward(const Wkv6Inputs& in, const Wkv6Sequence& sequence, const Wkv6Gradients& out, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t N = in.key_size, M = in.value_size;
  Arena arena(scratch);
  BiWkv6BackwardScratch<io_t> my(arena, in, sequence, out);
  const auto kept = [&](int64_t row) {
    const int64_t token = row / in.heads - sequence.first_token;
    return Wkv6RowGradients<acc_t>{my.grad.r + token * my.keys, my.grad.k + token * my.keys,
                                   my.grad.w + token * my.keys, my.grad.v + token * my.columns};
  };
  my.scan.run(true, nullptr, false, [&](int64_t row, const Wkv6RowGradients<acc_t>& x) {
    const Wkv6RowGradients<acc_t> to = kept(row);
    keep_row(x.r, N, to.r);
    keep_row(x.k, N, to.k);
    keep_row(x.w, N, to.w);
    keep_row(x.v, M, to.v);
  });
  my.scan.run(false, nullptr, true, [&](int64_t row, const Wkv6RowGradients<acc_t>& x) {
    const Wkv6RowGradients<acc_t> from = kept(row);
    add_row(from.r, N, x.r);
    add_row(from.k, N, x.k);
    add_row(from.w, N, x.w);
    add_row(from.v, M, x.v);
    store_row_gradients<io_t>(in, out, row, x);
  });
  store_row(my.scan.u(), N, static_cast<acc_t*>(out.u));
}

template <class io_t>
constexpr BiWkv6Kernels bi_wkv6_kernels_for() {
  return {bi_wkv6_forward<io_t>, bi_wkv6_backward<io_t>, bi_wkv6_forward_scratch<io_t>, bi_wkv6_backward_scratch<io_t>};
}

}  // namespace

extern const BiWkv6KernelTable bi_wkv6_kernels = {{bi_wkv6_kernels_for<float>(), bi_wkv6_kernels_for<double>(),
                                                   bi_wkv6_kernels_for<BFloat16>(), bi_wkv6_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
