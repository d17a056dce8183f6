// The ms_deform_attn kernels of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/arena.h"
#include "core/simd/rows.h"
#include "ms_deform_attn/ms_deform_attn.h"

namespace wkv::WKV_ISA {
namespace {

// A row of the sampling arguments, which are io_t or fp32, as the accumulation type.
template <class io_t, class acc_t>
void load_sampling_row(const void* tensor, bool is_float, int64_t offset, int64_t n, acc_t* to) {
  if (is_float) {
    load_float_row(row_of<float>(tensor, offset), n, to);
  } else {
    load_row(row_of<io_t>(tensor, offset), n, to);
  }
}
template <class io_t, class acc_t>
void store_sampling_row(const acc_t* from, bool is_float, int64_t offset, int64_t n, void* tensor) {
  if (!is_float) {
    store_row(from, n, row_of<io_t>(tensor, offset));
  } else {
    for (int64_t i = 0; i < n; ++i) row_of<float>(tensor, offset)[i] = static_cast<float>(from[i]);
  }
}

template <class io_t>
[[gnu::always_inline]] inline void prefetch_sampling_row(const void* tensor, bool is_float, int64_t offset, int64_t n) {
  if (is_float) {
    prefetch_row(row_of<float>(tensor, offset), n);
  } else {
    prefetch_row(row_of<io_t>(tensor, offset), n);
  }
}

// A point that a query looks at, between the columns x and x + 1 and the rows y and y + 1 of its level.
template <class acc_t>
struct Sample {
  acc_t weight;
  acc_t right, lower;   // the parts of the right column and of the lower row: 0 to 1; NaN: it is nowhere
  acc_t width, height;  // of the level
};

// One corner of a sample that lies within its level.
template <class acc_t>
struct Corner {
  int64_t place;      // in value
  int64_t slot;       // 4 * sample + 2 * lower + right
  acc_t coefficient;  // weight times area
};

// What one head of one query looks at.
template <class io_t, class acc_t = accumulate_t<io_t>>
struct Sampling {
  Sampling(Arena& arena, const MsDeformAttnInputs& in) {
    const int64_t n = in.levels * in.points;
    locations = arena.take<acc_t>(padded<acc_t>(2 * n));
    weights = arena.take<acc_t>(padded<acc_t>(n));
    samples = arena.take<Sample<acc_t>>(n);
    corners = arena.take<Corner<acc_t>>(4 * n);
  }

  // `row` counts the heads of all queries of all images.
  void look_up(const MsDeformAttnInputs& in, int64_t row) {
    const int64_t n = in.levels * in.points;
    load_sampling_row<io_t>(in.sampling_locations, in.float_locations, row * 2 * n, 2 * n, locations);
    load_sampling_row<io_t>(in.attention_weights, in.float_weights, row * n, n, weights);
    count = 0;
    outside = 0;
    for (int64_t level = 0, i = 0; level < in.levels; ++level) {
      const int64_t height = in.spatial_shapes[2 * level], width = in.spatial_shapes[2 * level + 1];
      for (int64_t point = 0; point < in.points; ++point) add(i++, height, width, in.level_start_index[level]);
    }
  }

  Sample<acc_t>* samples;  // [levels * points]
  Corner<acc_t>* corners;  // [count], in the order of their slots
  int64_t count;
  acc_t outside;  // the sum over the samples without corners

 private:
  void add(int64_t i, int64_t height, int64_t width, int64_t start) {
    Sample<acc_t>& sample = samples[i];
    sample = {weights[i], 0, 0, static_cast<acc_t>(width), static_cast<acc_t>(height)};
    const acc_t x = locations[2 * i] * sample.width - acc_t(0.5), y = locations[2 * i + 1] * sample.height - acc_t(0.5);
    if (!(x > -1 && x < sample.width && y > -1 && y < sample.height)) {
      // What lies outside is zero, what lies nowhere is not a number.
      if (x != x || y != y) sample.right = sample.lower = x + y;
      outside += sample.weight * sample.right;
      return;
    }
    const int64_t left = floor_of(x), upper = floor_of(y);
    sample.right = x - static_cast<acc_t>(left);
    sample.lower = y - static_cast<acc_t>(upper);
#pragma GCC unroll 4
    for (int64_t corner = 0; corner < 4; ++corner) {
      const int64_t below = corner / 2, beside = corner % 2, row = upper + below, column = left + beside;
      const acc_t share = (below ? sample.lower : 1 - sample.lower) * (beside ? sample.right : 1 - sample.right);
      corners[count] = {start + row * width + column, 4 * i + corner, sample.weight * share};
      count += (row >= 0) & (row < height) & (column >= 0) & (column < width);  // else the next one takes its place
    }
  }
  static int64_t floor_of(acc_t x) {
    const auto truncated = static_cast<int64_t>(x);
    return truncated - (static_cast<acc_t>(truncated) > x);
  }

  acc_t *locations, *weights;
};

template <class io_t>
int64_t ms_deform_attn_forward_scratch(const MsDeformAttnInputs& in) {
  Arena arena(nullptr);
  Sampling<io_t>(arena, in);
  return arena.used();
}

// C neighbouring vectors of y; `value` is where they are at the first place.
template <int C, class io_t, class V, class Load>
inline void sum_corners(const Sampling<io_t>& sampling, const io_t* value, int64_t stride, V (&sum)[C],
                        const Load& load_vector) {
  for (V& s : sum) s = broadcast(sampling.outside);
  for (int64_t i = 0; i < sampling.count; ++i) {
    const auto& corner = sampling.corners[i];
    const io_t* from = value + corner.place * stride;
    for (int c = 0; c < C; ++c) {
      sum[c] = fma(broadcast(corner.coefficient), load_vector(from + c * kLanes<accumulate_t<io_t>>), sum[c]);
    }
  }
}

template <class io_t>
void ms_deform_attn_forward(const MsDeformAttnInputs& in, void* y, int64_t first, int64_t last, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  constexpr int W = kLanes<acc_t>;
  const int64_t D = in.size, stride = in.heads * D, whole = D / W * W;
  Arena arena(scratch);
  Sampling<io_t> sampling(arena, in);
  for (int64_t row = first; row < last; ++row) {
    const int64_t batch = row / (in.queries * in.heads), head = row % in.heads;
    const io_t* value = row_of<io_t>(in.value, (batch * in.places * in.heads + head) * D);
    io_t* out = row_of<io_t>(y, row * D);
    sampling.look_up(in, row);
    for_column_blocks<acc_t>(whole, [&](int64_t j, auto vectors) {
      V sum[decltype(vectors)::value];
      sum_corners(sampling, value + j, stride, sum, [](const io_t* p) { return load_as(p); });
      for (int c = 0; c < vectors; ++c) store_as(out + j + c * W, sum[c]);
    });
    if (whole < D) {
      V sum[1];
      sum_corners(sampling, value + whole, stride, sum, [&](const io_t* p) { return load_first(p, D - whole); });
      store_first(out + whole, sum[0], D - whole);
    }
  }
}

template <class acc_t>
struct MsDeformAttnBackwardScratch {
  MsDeformAttnBackwardScratch(Arena& arena, const MsDeformAttnInputs& in) {
    const int64_t n = in.levels * in.points, columns = padded<acc_t>(in.size);
    grad_value = arena.take<acc_t>(in.places * columns);
    grad_y = arena.take<acc_t>(columns);
    products = arena.take<acc_t>(4 * n);
    grad_locations = arena.take<acc_t>(padded<acc_t>(2 * n));
    grad_weights = arena.take<acc_t>(padded<acc_t>(n));
  }
  acc_t* grad_value;      // [places][columns]
  acc_t* grad_y;          // [columns]
  acc_t* products;        // [samples][4]: of dL/dy with the corners
  acc_t* grad_locations;  // [samples][2]
  acc_t* grad_weights;    // [samples]
};

template <class io_t>
int64_t ms_deform_attn_backward_scratch(const MsDeformAttnInputs& in) {
  Arena arena(nullptr);
  (Sampling<io_t>(arena, in));
  (MsDeformAttnBackwardScratch<accumulate_t<io_t>>(arena, in));
  return arena.used();
}

// The corners' parts of the gradient of value, and their products with dL/dy.
template <class io_t, class acc_t>
void scatter_and_multiply(const Sampling<io_t>& sampling, const io_t* value, int64_t stride, int64_t D,
                          const MsDeformAttnBackwardScratch<acc_t>& my) {
  using V = Vec<acc_t>;
  constexpr int W = kLanes<acc_t>;
  const int64_t columns = padded<acc_t>(D);
  for (int64_t begin = 0; begin < sampling.count; begin += W) {
    const int64_t many = sampling.count - begin < W ? sampling.count - begin : W;
    V product[W] = {};
    for (int64_t i = 0; i < many; ++i) {
      const Corner<acc_t>& corner = sampling.corners[begin + i];
      const io_t* from = value + corner.place * stride;
      acc_t* to = my.grad_value + corner.place * columns;
      const V coefficient = broadcast(corner.coefficient);
      for (int64_t j = 0; j < D; j += W) {
        const V gradient = load(my.grad_y + j);
        store(to + j, fma(coefficient, gradient, load(to + j)));
        product[i] = fma(gradient, load_part(from, j, D), product[i]);
      }
    }
    const V sums = sums_of_rows(product);
    for (int64_t i = 0; i < many; ++i) my.products[sampling.corners[begin + i].slot] = sums[i];
  }
}

template <class io_t>
void ms_deform_attn_backward(const MsDeformAttnInputs& in, const MsDeformAttnGradients& grad, int64_t batch,
                             int64_t head, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t D = in.size, n = in.levels * in.points, stride = in.heads * D, columns = padded<acc_t>(D),
                first_value = (batch * in.places * in.heads + head) * D;
  Arena arena(scratch);
  Sampling<io_t> sampling(arena, in);
  const MsDeformAttnBackwardScratch<acc_t> my(arena, in);
  for (int64_t i = 0; i < in.places * columns; ++i) my.grad_value[i] = 0;
  for (int64_t q = 0; q < in.queries; ++q) {
    const int64_t row = (batch * in.queries + q) * in.heads + head;
    // The rows of a head are too far apart for the hardware to foresee.
    const int64_t ahead = q + 4 < in.queries ? row + 4 * in.heads : row;
    for (const void* tensor : {in.sampling_locations, static_cast<const void*>(grad.sampling_locations)}) {
      prefetch_sampling_row<io_t>(tensor, in.float_locations, ahead * 2 * n, 2 * n);
    }
    for (const void* tensor : {in.attention_weights, static_cast<const void*>(grad.attention_weights)}) {
      prefetch_sampling_row<io_t>(tensor, in.float_weights, ahead * n, n);
    }
    prefetch_row(row_of<io_t>(grad.y, ahead * D), D);
    sampling.look_up(in, row);
    load_row(row_of<io_t>(grad.y, row * D), D, my.grad_y);
    for (int64_t i = 0; i < 4 * n; ++i) my.products[i] = 0;
    scatter_and_multiply(sampling, row_of<io_t>(in.value, first_value), stride, D, my);
    for (int64_t i = 0; i < n; ++i) {
      const auto [weight, right, lower, width, height] = sampling.samples[i];
      const acc_t* p = my.products + 4 * i;  // upper left, upper right, lower left, lower right
      const acc_t upper_step = p[1] - p[0], lower_step = p[3] - p[2];
      const acc_t at_upper = p[0] + right * upper_step, at_lower = p[2] + right * lower_step;
      my.grad_weights[i] = at_upper + lower * (at_lower - at_upper);
      my.grad_locations[2 * i] = weight * width * (upper_step + lower * (lower_step - upper_step));
      my.grad_locations[2 * i + 1] = weight * height * (at_lower - at_upper);
    }
    store_sampling_row<io_t>(my.grad_locations, in.float_locations, row * 2 * n, 2 * n, grad.sampling_locations);
    store_sampling_row<io_t>(my.grad_weights, in.float_weights, row * n, n, grad.attention_weights);
  }
  for (int64_t s = 0; s < in.places; ++s) {
    store_row(my.grad_value + s * columns, D, row_of<io_t>(grad.value, first_value + s * stride));
  }
}

template <class io_t>
constexpr MsDeformAttnKernels ms_deform_attn_kernels_for() {
  return {ms_deform_attn_forward<io_t>, ms_deform_attn_backward<io_t>, ms_deform_attn_forward_scratch<io_t>,
          ms_deform_attn_backward_scratch<io_t>};
}

}  // namespace

extern const MsDeformAttnKernelTable ms_deform_attn_kernels = {
    {ms_deform_attn_kernels_for<float>(), ms_deform_attn_kernels_for<double>(), ms_deform_attn_kernels_for<BFloat16>(),
     ms_deform_attn_kernels_for<Half>()}};

}  // namespace wkv::WKV_ISA
