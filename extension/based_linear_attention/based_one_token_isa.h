// One token of a head, on a packed state in place: the entry for based_decode_ that based_linear_attention_isa.cpp puts
// into the kernel table. The state is read once and written once; it is all there is to move, so the products of
// features are formed first, and each row of the state meets its two.
#pragma once
#include "based_linear_attention/based_linear_attention_features_isa.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct BasedOneTokenScratch {
  BasedOneTokenScratch(Arena& arena, int64_t d, int64_t values) {
    for (acc_t** elements : {&q, &k}) *elements = arena.take<acc_t>(padded<acc_t>(d));
    for (acc_t** features : {&q_features, &k_features}) *features = arena.take<acc_t>(based_features(d));
    for (acc_t** row : {&v, &y}) *row = arena.take<acc_t>(padded<acc_t>(values));
  }
  acc_t *q, *k;                    // [d]
  acc_t *q_features, *k_features;  // [features]
  acc_t *v, *y;                    // [columns]
};

template <class io_t>
int64_t based_one_token_scratch(const BasedInputs& in) {
  Arena arena(nullptr);
  BasedOneTokenScratch<accumulate_t<io_t>>(arena, in.feature_size, in.value_size);
  return arena.used();
}

// 1, x_i / d^(1/4), and x_i x_j / sqrt(2 d) for i <= j, those with i < j times pair_factor.
template <class acc_t>
inline void distinct_features(const acc_t* x, int64_t d, acc_t pair_factor, acc_t* features) {
  const BasedScales<acc_t> scales = BasedScales<acc_t>::to_full(d);
  *features++ = 1;
  for (int64_t i = 0; i < d; ++i) *features++ = x[i] * scales.single;
  for (int64_t i = 0; i < d; ++i) {
    const acc_t left = x[i] * scales.square;
    *features++ = left * x[i];
    for (int64_t j = i + 1; j < d; ++j) *features++ = pair_factor * left * x[j];
  }
}

template <class io_t>
void based_one_token(const BasedInputs& in, int64_t token, int64_t head, const BasedState<void*>& state, void* y,
                     void* scratch) {
  using acc_t = accumulate_t<io_t>;
  constexpr int W = kLanes<acc_t>;
  const int64_t d = in.feature_size, values = in.value_size, features = based_features(d),
                row = token * in.heads + head;
  Arena arena(scratch);
  const BasedOneTokenScratch<acc_t> my(arena, d, values);
  load_row(row_of<io_t>(in.q, row * d), d, my.q);
  load_row(row_of<io_t>(in.k, row * d), d, my.k);
  load_row(row_of<io_t>(in.v, row * values), values, my.v);
  distinct_features(my.q, d, acc_t{2}, my.q_features);  // a pair stands for (i, j) and (j, i)
  distinct_features(my.k, d, acc_t{1}, my.k_features);

  acc_t* const k_state = row_of<acc_t>(state.k, 0);
  acc_t z = static_cast<acc_t>(in.eps);
  for (int64_t p = 0; p < features; ++p) {
    k_state[p] += my.k_features[p];
    z += k_state[p] * my.q_features[p];
  }

  acc_t* const kv_state = row_of<acc_t>(state.kv, 0);
  const auto columns = [&](int64_t first, auto vectors, auto load_state, auto store_state) {
    Vec<acc_t> v[vectors], sums[vectors] = {};
    for (int i = 0; i < vectors; ++i) v[i] = load(my.v + first + i * W);
    for (int64_t p = 0; p < features; ++p) {
      acc_t* const S = kv_state + p * values + first;
      const Vec<acc_t> k_feature = broadcast(my.k_features[p]), q_feature = broadcast(my.q_features[p]);
      for (int i = 0; i < vectors; ++i) {
        const Vec<acc_t> sum = fma(v[i], k_feature, load_state(S + i * W));
        store_state(S + i * W, sum);
        sums[i] = fma(sum, q_feature, sums[i]);
      }
    }
    for (int i = 0; i < vectors; ++i) store(my.y + first + i * W, sums[i] * broadcast(1 / z));
  };
  const int64_t whole = values / W * W;
  for_column_blocks<acc_t, 4>(whole, [&](int64_t first, auto vectors) {
    columns(
        first, vectors, [](const acc_t* S) { return load(S); }, [](acc_t* S, Vec<acc_t> x) { store(S, x); });
  });
  if (whole < values) {
    const int64_t rest = values - whole;
    columns(
        whole, std::integral_constant<int, 1>(), [rest](const acc_t* S) { return load_first(S, rest); },
        [rest](acc_t* S, Vec<acc_t> x) { store_first(S, x, rest); });
  }
  store_row(my.y, values, row_of<io_t>(y, row * values));
}

}  // namespace wkv::WKV_ISA
