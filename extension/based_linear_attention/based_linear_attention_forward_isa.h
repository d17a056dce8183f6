// The forward of based_linear_attention: the entry that based_linear_attention_isa.cpp puts into the kernel table.
#pragma once
#include "based_linear_attention/based_linear_attention_features_isa.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct BasedForwardScratch {
  BasedForwardScratch(Arena& arena, int64_t d, int64_t values) {
    constexpr int64_t C = kBasedChunk;
    for (acc_t** elements : {&q, &k}) *elements = arena.take<acc_t>((d + 1) * C);
    for (acc_t** features : {&q_features, &k_features}) *features = arena.take<acc_t>(based_largest_block(d) * C);
    for (acc_t** rows : {&v, &y}) *rows = arena.take<acc_t>(C * padded<acc_t>(values));
    a = arena.take<acc_t>(C * C);
    z = arena.take<acc_t>(C);
    buffer = arena.take<acc_t>(C * padded<acc_t>(d));
  }
  acc_t *q, *k;                    // [d + 1][token]
  acc_t *q_features, *k_features;  // [features of a block][token]
  acc_t *v, *y;                    // [token][columns]
  acc_t* a;                        // [key token][query token]
  acc_t* z;                        // [token]: the normaliser
  acc_t* buffer;
};

// scores[s][t] = x = q_t . k_s for n tokens; calls use(s, c, x, mask) for each vector of queries c, ..., where the mask
// is that of the queries that see s.
template <class acc_t, class Use>
inline void for_scores_of_keys(const acc_t* q, const acc_t* k, int64_t n, int64_t d, acc_t* scores, const Use& use) {
  constexpr int64_t C = kBasedChunk;
  constexpr int W = kLanes<acc_t>;
  multiply<Into::kZero>(n, LeftFactor<acc_t>{k, 1, C}, Matrix<acc_t>{const_cast<acc_t*>(q), C}, d, C,
                        Matrix<acc_t>{scores, C});
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t c = 0; c < C; c += W) {
      use(s, c, load(scores + s * C + c), lane_numbers<acc_t>() >= broadcast(static_cast<acc_t>(s - c)));
    }
  }
}

// z[t] += the part of `count` features in the normaliser of what came before the chunk.
template <class acc_t>
inline void add_normaliser(const acc_t* q_features, int64_t count, const acc_t* k_state, acc_t* z) {
  constexpr int W = kLanes<acc_t>;
  for (int64_t c = 0; c < kBasedChunk; c += W) {
    Vec<acc_t> sums[4] = {};  // several, for the processor to work on at the same time
    const auto add = [&](int64_t p, Vec<acc_t>& sum) {
      sum = fma(load(q_features + p * kBasedChunk + c), broadcast(k_state[p]), sum);
    };
    int64_t p = 0;
    for (; p + 4 <= count; p += 4) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) add(p + i, sums[i]);
    }
    for (; p < count; ++p) add(p, sums[0]);
    store(z + c, load(z + c) + ((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }
}

// The n tokens of a head from `at` on.
template <class io_t, class acc_t>
inline void based_forward_chunk(const BasedInputs& in, const BasedRows& at, int64_t n, int64_t first_value, io_t* y,
                                const BasedStateScratch<acc_t>& state, const BasedForwardScratch<acc_t>& my,
                                BasedPrefetch<io_t> prefetch) {
  constexpr int64_t C = kBasedChunk;
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  const int64_t d = in.feature_size, columns = state.columns, values = state.values;
  const int64_t feature_stride = in.heads * d, value_stride = in.heads * in.value_size;
  const acc_t scale = static_cast<acc_t>(1 / __builtin_sqrt(static_cast<double>(d)));
  load_elements(row_of<io_t>(in.q, at.feature), feature_stride, n, d, scale, my.buffer, my.q);
  load_elements(row_of<io_t>(in.k, at.feature), feature_stride, n, d, acc_t{1}, my.buffer, my.k);
  for (int64_t i = 0; i < n; ++i) {
    load_row(row_of<io_t>(in.v, at.value + i * value_stride + first_value), values, my.v + i * columns);
  }

  for (int64_t i = 0; i < C; ++i) my.z[i] = 0;
  for_scores_of_keys(my.q, my.k, n, d, my.a, [&](int64_t s, int64_t c, V x, auto seen) {
    const V a = seen ? fma(x, fma(x, broadcast(acc_t{0.5}), broadcast(acc_t{1})), broadcast(acc_t{1})) : V{};
    store(my.a + s * C + c, a);
    store(my.z + c, load(my.z + c) + a);
  });

  const Matrix<acc_t> sums{my.y, columns}, v{my.v, columns};
  for (int64_t i = 0; i < n * columns; ++i) my.y[i] = 0;
  for_feature_blocks(d, [&](const BasedBlock& block) {
    const Matrix<acc_t> S{state.kv + block.feature * columns, columns};
    acc_t* const k_state = state.k + block.feature;
    prefetch();
    multiply_pairs(my.q, d, block, acc_t{0.5}, my.q_features);
    add_normaliser(my.q_features, block.count, k_state, my.z);
    prefetch();
    multiply<Into::kSum>(n, LeftFactor<acc_t>{my.q_features, 1, C}, S, block.count, columns, sums);
    prefetch();
    multiply_pairs(my.k, d, block, acc_t{1}, my.k_features);
    add_over_tokens<acc_t>(my.k_features, block.count, nullptr, k_state);
    prefetch();
    multiply<Into::kSum>(block.count, LeftFactor<acc_t>{my.k_features, C, 1}, v, n, columns, S);
  });
  multiply_band(n, LeftFactor<acc_t>{my.a, 1, C}, v, columns, sums, [](int64_t i) { return Range{0, i + 1}; });

  for (int64_t i = 0; i < n; ++i) {
    const acc_t factor = in.normalize ? 1 / (my.z[i] + static_cast<acc_t>(in.eps)) : 1;
    for (int64_t j = 0; j < columns; j += W) store(sums[i] + j, load(sums[i] + j) * broadcast(factor));
    store_row(sums[i], values, y + at.value + i * value_stride + first_value);
  }
}

// The heads of a part take turns, a chunk each: their rows share pages, which all of a long sequence's are too many of
// to be translated without looking them up again for each head.
template <class io_t>
class BasedForward {
 public:
  using acc_t = accumulate_t<io_t>;

  BasedForward(const BasedInputs& in, const BasedSequence& sequence, const BasedOutputs& out, const BasedPart& part,
               void* scratch)
      : in_(in),
        sequence_(sequence),
        out_(out),
        part_(part),
        arena_(scratch),
        my_(arena_, in.feature_size, values),
        states_(arena_.take<char>(part.heads * state_bytes)) {}
  int64_t scratch() const { return arena_.used(); }

  void run() const {
    const int64_t d = in_.feature_size, T = sequence_.length, C = kBasedChunk;
    for (int64_t h = 0; T > 0 && h < part_.heads; ++h) {
      state(h).load_state(head_state<acc_t>(in_, sequence_.before, h), part_.first_value,
                          BasedScales<acc_t>::to_packed(d));
    }
    for (int64_t t = 0; t < T; t += C) {
      for (int64_t h = 0; h < part_.heads; ++h) {
        const bool last = h + 1 == part_.heads;
        based_forward_chunk(in_, BasedRows(in_, head(h), t), T - t < C ? T - t : C, part_.first_value,
                            row_of<io_t>(out_.y, 0), state(h), my_,
                            BasedPrefetch<io_t>(in_, head(last ? 0 : h + 1), last ? t + C : t, in_.v, out_.y));
      }
    }
    for (int64_t h = 0; h < part_.heads; ++h) {
      BasedState<void*> after = head_state<acc_t>(in_, out_.after, h);
      if (part_.first_value > 0) after.k = nullptr;
      if (T > 0) {
        state(h).store_state(after, part_.first_value, BasedScales<acc_t>::to_full(d));
      } else {
        state(h).copy_state(head_state<acc_t>(in_, sequence_.before, h), after, part_.first_value);
      }
    }
  }

 private:
  BasedSequence head(int64_t h) const {
    BasedSequence sequence = sequence_;
    sequence.head += h;
    return sequence;
  }
  BasedStateScratch<acc_t> state(int64_t h) const {
    Arena arena(states_ + h * state_bytes);
    return BasedStateScratch<acc_t>(arena, in_.feature_size, values);
  }

  const BasedInputs in_;
  const BasedSequence sequence_;
  const BasedOutputs out_;
  const BasedPart part_;
  const int64_t values = part_.last_value - part_.first_value,
                state_bytes = based_state_scratch<acc_t>(in_.feature_size, values);
  Arena arena_;
  const BasedForwardScratch<acc_t> my_;
  char* const states_;
};

template <class io_t>
void based_forward(const BasedInputs& in, const BasedSequence& sequence, const BasedOutputs& out, const BasedPart& part,
                   void* scratch) {
  BasedForward<io_t>(in, sequence, out, part, scratch).run();
}

template <class io_t>
int64_t based_forward_scratch(const BasedInputs& in, const BasedPart& part) {
  return BasedForward<io_t>(in, {}, {}, part, nullptr).scratch();
}

}  // namespace wkv::WKV_ISA
