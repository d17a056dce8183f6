// Vectors of float or double, as wide as the instruction set of the including file (WKV_ISA): loads and stores with
// conversion, exp, and the sums of W vectors as one vector. To be included by *_isa.cpp files only.
#pragma once
#include <cstdint>
#include <type_traits>
#include <utility>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "core/simd/half.h"

namespace wkv::WKV_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T, int kLanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T))));
};
template <class acc_t>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(acc_t));
template <class acc_t>
using Vec = typename VectorOf<acc_t, kLanes<acc_t>>::type;

using UInt64s = VectorOf<uint64_t, kLanes<double>>::type;
using UInt32s = VectorOf<uint32_t, kLanes<float>>::type;
using Int32s = VectorOf<int32_t, kLanes<float>>::type;
using UInt16s = VectorOf<uint16_t, kLanes<float>>::type;

// What is kept in memory as io_t is computed as this.
template <class io_t>
using accumulate_t = std::conditional_t<std::is_same_v<io_t, double>, double, float>;

template <class acc_t>
inline Vec<acc_t> broadcast(acc_t x) {
  return x - Vec<acc_t>{};
}

// a * b + c, with one rounding where the instruction set has it. Written out because the contraction that the compiler
// chooses for an expression may differ between two instances of a template, and so would the results.
template <class V>
inline V fma(V a, V b, V c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a[0]) == 4) {
    return reinterpret_cast<V>(
        _mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  } else {
    return reinterpret_cast<V>(
        _mm512_fmadd_pd(reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
  }
#elif defined(__FMA__)
  if constexpr (sizeof(a[0]) == 4) {
    return reinterpret_cast<V>(
        _mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  } else {
    return reinterpret_cast<V>(
        _mm256_fmadd_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
  }
#else
  return a * b + c;
#endif
}

// The larger, or the smaller one; y where either is NaN.
template <class V>
inline V max(V x, V y) {
#if defined(__AVX512F__)
  if constexpr (sizeof(x[0]) == 4) {
    return reinterpret_cast<V>(_mm512_maskz_max_ps(0xffff, reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(y)));
  } else {
    return reinterpret_cast<V>(_mm512_maskz_max_pd(0xff, reinterpret_cast<__m512d>(x), reinterpret_cast<__m512d>(y)));
  }
#else
  return x > y ? x : y;
#endif
}
template <class V>
inline V min(V x, V y) {
#if defined(__AVX512F__)
  if constexpr (sizeof(x[0]) == 4) {
    return reinterpret_cast<V>(_mm512_maskz_min_ps(0xffff, reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(y)));
  } else {
    return reinterpret_cast<V>(_mm512_maskz_min_pd(0xff, reinterpret_cast<__m512d>(x), reinterpret_cast<__m512d>(y)));
  }
#else
  return x < y ? x : y;
#endif
}

inline Vec<float> abs(Vec<float> x) { return reinterpret_cast<Vec<float>>(reinterpret_cast<UInt32s>(x) & 0x7fffffffu); }
inline Vec<double> abs(Vec<double> x) {
  return reinterpret_cast<Vec<double>>(reinterpret_cast<UInt64s>(x) & 0x7fffffffffffffffu);
}
// -|x|
inline Vec<float> negative_abs(Vec<float> x) {
  return reinterpret_cast<Vec<float>>(reinterpret_cast<UInt32s>(x) | 0x80000000u);
}
inline Vec<double> negative_abs(Vec<double> x) {
  return reinterpret_cast<Vec<double>>(reinterpret_cast<UInt64s>(x) | 0x8000000000000000u);
}

template <class acc_t>
inline Vec<acc_t> load(const acc_t* p) {
  Vec<acc_t> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class acc_t>
inline void store(acc_t* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// --- memory formats: kLanes elements at p, as a vector of the accumulation type, and back (round to nearest even) ---

inline Vec<float> load_as(const float* p) { return load(p); }
inline Vec<double> load_as(const double* p) { return load(p); }
inline Vec<float> load_as(const BFloat16* p) {
#if defined(__AVX512F__)  // the compiler would widen it in halves
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return reinterpret_cast<Vec<float>>(reinterpret_cast<UInt32s>(wide) << 16);
#else
  UInt16s bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<Vec<float>>(__builtin_convertvector(bits, UInt32s) << 16);
#endif
}
inline Vec<float> load_as(const Half* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vec<float>>(
      _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__F16C__)
  return reinterpret_cast<Vec<float>>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  Vec<float> v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = half_to_float(p[i]);
  return v;
#endif
}

inline void store_as(float* p, Vec<float> v) { store(p, v); }
inline void store_as(double* p, Vec<double> v) { store(p, v); }
inline void store_as(BFloat16* p, Vec<float> v) {
  const UInt32s bits = reinterpret_cast<UInt32s>(v);
  const UInt32s rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const UInt32s nan = (bits >> 16) | 0x40u;
  const UInt16s out = __builtin_convertvector(v == v ? rounded : nan, UInt16s);
  __builtin_memcpy(p, &out, sizeof out);
}
inline void store_as(Half* p, Vec<float> v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_maskz_cvtps_ph(0xffff, reinterpret_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(reinterpret_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < kLanes<float>; ++i) p[i] = float_to_half(v[i]);
#endif
}

// The first `count` elements (any number up to a vector); the other lanes are zero, or are not written.
template <class io_t>
inline auto load_first(const io_t* p, int64_t count) {
  io_t buffer[kLanes<accumulate_t<io_t>>] = {};
  __builtin_memcpy(buffer, p, count * sizeof(io_t));
  return load_as(buffer);
}
template <class io_t, class V>
inline void store_first(io_t* p, V v, int64_t count) {
  io_t buffer[kLanes<accumulate_t<io_t>>];
  store_as(buffer, v);
  __builtin_memcpy(p, buffer, count * sizeof(io_t));
}

template <class acc_t>
inline int64_t padded(int64_t n) {
  return (n + kLanes<acc_t> - 1) / kLanes<acc_t> * kLanes<acc_t>;
}

// A row of n elements to a padded row of the accumulation type, the padding zero; and back.
template <class io_t>
inline void load_row(const io_t* from, int64_t n, accumulate_t<io_t>* to) {
  constexpr int W = kLanes<accumulate_t<io_t>>;
  int64_t i = 0;
  for (; i + W <= n; i += W) store(to + i, load_as(from + i));
  if (i < n) store(to + i, load_first(from + i, n - i));
}
template <class io_t>
inline void store_row(const accumulate_t<io_t>* from, int64_t n, io_t* to) {
  constexpr int W = kLanes<accumulate_t<io_t>>;
  int64_t i = 0;
  for (; i + W <= n; i += W) store_as(to + i, load(from + i));
  if (i < n) store_first(to + i, load(from + i), n - i);
}

// Every cache line that a row has a part in: rows of strangers' tensors are not always aligned to lines.
// Inlined by force: the compiler takes a function that only prefetches for one without effect, and drops its calls.
template <class io_t>
[[gnu::always_inline]] inline void prefetch_row(const io_t* row, int64_t n) {
  const char *const begin = reinterpret_cast<const char*>(row), *const end = reinterpret_cast<const char*>(row + n);
  for (const char* line = begin - reinterpret_cast<uintptr_t>(row) % 64; line < end; line += 64) {
    __builtin_prefetch(line);
  }
}

// --- exp ---

// x = n ln 2 + f with |f| <= ln 2 / 2, for x from kLeast to kLargest: beyond them e^x is 0 or inf all the same.
struct ExpReduction {
  static constexpr float kLeast = -105, kLargest = 89;
  explicit ExpReduction(Vec<float> x) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    const Vec<float> shifted = fma(x, broadcast(1.44269504f), broadcast(kRound));
    n = shifted - kRound;
    exponent = reinterpret_cast<Int32s>(shifted) - 0x4b400000;  // the bits of kRound
    f = fma(n, broadcast(-0.693359375f), x);
    f = fma(n, broadcast(2.12194440e-4f), f);
  }
  // (e^f - 1 - f) / f^2
  Vec<float> polynomial() const {
    Vec<float> p = broadcast(1.9875691500e-4f);
    p = fma(p, f, broadcast(1.3981999507e-3f));
    p = fma(p, f, broadcast(8.3334519073e-3f));
    p = fma(p, f, broadcast(4.1665795894e-2f));
    p = fma(p, f, broadcast(1.6666665459e-1f));
    return fma(p, f, broadcast(5.0000001201e-1f));
  }
  // p * 2^n
  Vec<float> scaled(Vec<float> p) const {
#if defined(__AVX512F__)
    return reinterpret_cast<Vec<float>>(
        _mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
#else
    // In two factors, because one does not reach denormals.
    const Int32s half = exponent >> 1;
    const auto power_of_two = [](Int32s e) { return reinterpret_cast<Vec<float>>((e + 127) << 23); };
    return p * power_of_two(half) * power_of_two(exponent - half);
#endif
  }
  Vec<float> n, f;
  Int32s exponent;
};

// e^x, 2e-7 relative; exactly 1 at 0, 0 at -inf, inf at +inf and above 88.73, NaN at NaN, denormal results rounded.
[[gnu::always_inline]] inline Vec<float> exp(const ExpReduction& r) {
  return r.scaled(fma(r.polynomial(), r.f * r.f, r.f + 1.0f));
}
inline Vec<float> clamped_for_exp(Vec<float> x) {
  return max(broadcast(ExpReduction::kLeast), min(broadcast(ExpReduction::kLargest), x));
}
[[gnu::always_inline]] inline Vec<float> exp(Vec<float> x) { return exp(ExpReduction(clamped_for_exp(x))); }
inline Vec<double> exp(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}
// The same for x <= 0.
inline Vec<float> exp_of_negative(Vec<float> x) { return exp(ExpReduction(max(broadcast(ExpReduction::kLeast), x))); }
inline Vec<double> exp_of_negative(Vec<double> x) { return exp(x); }

// e^x - 1, as accurate where x is small.
inline Vec<float> exp_minus_one(Vec<float> x) {
  const ExpReduction r(clamped_for_exp(x));
  return r.scaled(fma(r.polynomial(), r.f * r.f, r.f)) + (r.scaled(broadcast(1.0f)) - 1.0f);
}
inline Vec<double> exp_minus_one(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_expm1(x[i]);
  return x;
}

// --- sums ---

// Adds the halves of each block of kBlock lanes; the sums of x's blocks become the lower half-blocks of the result,
// those of y's the upper: one blend, one permutation and one addition.
template <int kBlock, class V, int... kLane>
inline V fold(V x, V y, std::integer_sequence<int, kLane...>) {
  constexpr int W = sizeof...(kLane), kHalf = kBlock / 2;
  const V kept = __builtin_shufflevector(x, y, ((kLane & kHalf) ? W + kLane : kLane)...);
  const V moved = __builtin_shufflevector(x, y, ((kLane & kHalf) ? W + kLane - kHalf : kLane + kHalf)...);
  return kept + moved;
}

// Folds the W / kBlock * 2 rows that are kStride apart down to blocks of kBlock / 2 lanes, which are in the rows'
// order.
template <int kBlock, int kStride, class V>
inline V fold_rows(const V* rows) {
  constexpr int W = sizeof(V) / sizeof((*rows)[0]);
  constexpr auto kLanesOfV = std::make_integer_sequence<int, W>();
  if constexpr (kBlock == W) {
    return fold<W>(rows[0], rows[kStride], kLanesOfV);
  } else {
    return fold<kBlock>(fold_rows<kBlock * 2, kStride * 2>(rows), fold_rows<kBlock * 2, kStride * 2>(rows + kStride),
                        kLanesOfV);
  }
}

// Lane i of the result: the sum over the lanes of rows[i].
template <class V>
inline V sums_of_rows(const V* rows) {
  return fold_rows<2, 1>(rows);
}

// --- transposition ---

// Exchanges, for each pair of blocks of kBlock lanes, the upper block of x and the lower block of y.
template <int kBlock, class V, int... kLane>
inline void exchange(V& x, V& y, std::integer_sequence<int, kLane...>) {
  constexpr int W = sizeof...(kLane);
  const V lower = __builtin_shufflevector(x, y, ((kLane & kBlock) ? W + kLane - kBlock : kLane)...);
  const V upper = __builtin_shufflevector(x, y, ((kLane & kBlock) ? W + kLane : kLane + kBlock)...);
  x = lower;
  y = upper;
}

// Transposes the square of as many vectors as a vector has lanes.
template <int kBlock, int W, class V>
inline void transpose_square(V (&rows)[W]) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (!(i & kBlock)) exchange<kBlock>(rows[i], rows[i + kBlock], std::make_integer_sequence<int, W>());
  }
  if constexpr (kBlock > 1) transpose_square<kBlock / 2>(rows);
}

// to[j][i] = from[i][j] for i < rows, j < columns. Where to_stride leaves space for whole vectors, zeros pad the rows
// of `to`.
template <class acc_t>
inline void transpose(const acc_t* from, int64_t from_stride, int64_t rows, int64_t columns, acc_t* to,
                      int64_t to_stride) {
  constexpr int W = kLanes<acc_t>;
  for (int64_t i0 = 0; i0 < rows; i0 += W) {
    for (int64_t j0 = 0; j0 < columns; j0 += W) {
      const int64_t width = columns - j0 < W ? columns - j0 : W;
      Vec<acc_t> square[W] = {};
      for (int64_t i = 0; i < W && i0 + i < rows; ++i) {
        const acc_t* row = from + (i0 + i) * from_stride + j0;
        square[i] = width == W ? load(row) : load_first(row, width);
      }
      transpose_square<W / 2>(square);
      for (int64_t j = 0; j < width; ++j) {
        acc_t* row = to + (j0 + j) * to_stride + i0;
        if (i0 + W <= to_stride) {
          store(row, square[j]);
        } else {
          store_first(row, square[j], to_stride - i0);
        }
      }
    }
  }
}

}  // namespace wkv::WKV_ISA
