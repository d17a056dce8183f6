// One decoding step of RWKV-7 (arXiv 2503.14456 section 4) through all of its blocks, on raw pointers: what the model
// calls for a token of each of a few sequences. As separate operators, their start and their little elementwise work
// would take as long as the weights take to be read. Internal.
#pragma once
#include <cstdint>

#include "wkv/export.h"

namespace wkv {

// How the parameters are kept that are no large matrices.
enum class ParameterType { kFloat, kBFloat16, kHalf };

// A weight matrix [rows, columns]: contiguous, of the parameters' type; or what _pack_linear made, then with the bytes
// of a packed row.
struct DecodeMatrix {
  const void* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t packed_row_bytes = 0;  // 0: not packed
};

// y = f(x A) B with A [C, rank], B [rank, C], and what is added to it, [C]. rank 0: there is none.
struct DecodeLowRank {
  const void *bias = nullptr, *down = nullptr, *up = nullptr;
  int64_t rank = 0;
};

// Names as in the checkpoint. All vectors are [C], r_k is [H, N].
struct Rwkv7DecodeLayer {
  const void *ln1_weight, *ln1_bias, *ln2_weight, *ln2_bias;
  const void *x_r, *x_w, *x_k, *x_v, *x_a, *x_g;
  DecodeMatrix receptance, key, value, output;
  DecodeLowRank decay, rate, value_residual, gate;  // w*, a*, v* (of the first layer: not read), g*
  const void *k_k, *k_a, *r_k, *ln_x_weight, *ln_x_bias;
  const void* att_bias;  // may be null
  const void* ffn_x_k;
  DecodeMatrix ffn_key, ffn_value;
  // The pools of states: shifts of the parameters' type, wkv [H, N, N] fp32; strides between slots in elements.
  void *att_shift, *ffn_shift;
  float* wkv;
  int64_t att_shift_stride, ffn_shift_stride, wkv_stride;
};

struct Rwkv7Decode {
  ParameterType type;
  int64_t heads, head_size;  // C = heads * head_size
  float ln_x_eps;
  const Rwkv7DecodeLayer* layers;
  int64_t layer_count;
};

// Whether the step can be used: C and the channel mix's width are multiples of 64, heads of 32 up to 256.
WKV_API bool can_decode(const Rwkv7Decode& model);

// x [batch, C]: of the embedded tokens, normalised by ln0; becomes what ln_out is to be given. slots: row i's state is
// the pools' row slots[i]; distinct and within the pools. Up to kMostDecodeRows rows.
inline constexpr int64_t kMostDecodeRows = 8;
WKV_API void decode(const Rwkv7Decode& model, const int64_t* slots, int64_t batch, float* x);

}  // namespace wkv
