// What all forms of bi_wkv share: a block's rows in memory, and what is kept of each of its tokens.
#pragma once
#include "bi_wkv/bi_wkv.h"
#include "core/arena.h"
#include "core/simd/channels.h"
#include "core/simd/log_sums.h"

namespace wkv::WKV_ISA {

// A row of sums.
template <class acc_t>
struct SumsRow {
  SumsRow() = default;
  SumsRow(Arena& arena, int64_t width) : values(arena.take<acc_t>(width)), weights(arena.take<acc_t>(width)) {}
  Sums<acc_t> load(int64_t c) const { return {WKV_ISA::load(values + c), WKV_ISA::load(weights + c)}; }
  void store(int64_t c, const Sums<acc_t>& sums) const {
    WKV_ISA::store(values + c, sums.values);
    WKV_ISA::store(weights + c, sums.weights);
  }
  acc_t *values, *weights;
};

template <class acc_t>
struct LogSumsRow {
  LogSumsRow(Arena& arena, int64_t width) : exponent(arena.take<acc_t>(width)), sums(arena, width) {}
  LogSums<acc_t> load(int64_t c) const { return {WKV_ISA::load(exponent + c), sums.load(c)}; }
  void store(int64_t c, const LogSums<acc_t>& x) const {
    WKV_ISA::store(exponent + c, x.exponent);
    sums.store(c, x.sums);
  }
  acc_t* exponent;
  SumsRow<acc_t> sums;
};

// What the derivatives of y = values / weights are made of: the source's part in the sums that the outputs were read
// from, with outputs y that were weighted by dL/dy / weights.
template <class acc_t>
inline Vec<acc_t> pairing(const Sums<acc_t>& source, const Sums<acc_t>& outputs) {
  return fma(source.values, outputs.weights, -(source.weights * outputs.values));
}

}  // namespace wkv::WKV_ISA
