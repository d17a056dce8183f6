// RWKV-7 (arXiv 2503.14456 section 4) without gradients, on raw pointers: a decoding step through all blocks, and what
// a block does between its matrix products. As separate operators, the start of each and its way through the memory
// would take as long as the products. Internal.
#pragma once
#include "wkv/decode_matrix.h"
#include "wkv/export.h"

namespace wkv::rwkv7 {

// P below: of the parameters that are no large matrices, of ParameterType.

// y = f(x A) B with A [C, rank], B [rank, C], and what is added to it, [C]. rank 0: there is none.
struct DecodeLowRank {
  const void *bias = nullptr, *down = nullptr, *up = nullptr;
  int64_t rank = 0;
};

// Names as in the checkpoint. All vectors are [C], r_k is [H, N].
struct DecodeLayer {
  const void *ln1_weight, *ln1_bias, *ln2_weight, *ln2_bias;
  const void *x_r, *x_w, *x_k, *x_v, *x_a, *x_g;
  DecodeMatrix receptance, key, value, output;
  DecodeLowRank decay, rate, value_residual, gate;  // w*, a*, v* (of the first layer: not read), g*
  const void *k_k, *k_a, *r_k, *ln_x_weight, *ln_x_bias;
  const void* att_bias;  // may be null
  const void* ffn_x_k;
  DecodeMatrix ffn_key, ffn_value;
  DecodeStates states;  // wkv [H, N, N]
};

struct Decode {
  ParameterType type;
  int64_t heads, head_size;  // C = heads * head_size
  float ln_x_eps;
  const DecodeLayer* layers;
  int64_t layer_count;
};

// The sizes that all of this is for: C a multiple of 64, a head's of 32 and up to 256.
WKV_API bool knows_sizes(int64_t heads, int64_t head_size);

// --- the parts of a block for many tokens; rows of tokens [tokens, C] are of P unless they are float ---

// x += added + added_bias, either of which may be null; the rows normalised, each mixed with its predecessor.
struct Mix {
  ParameterType type;
  int64_t sequences, length, width;  // tokens = sequences * length, one sequence after the other
  float* x;
  const void *added, *added_bias;
  const void *norm_weight, *norm_bias;
  int count;  // of mixes
  const void* const* mixes;
  void* const* mixed;
  const void* before;  // [sequences, C]: what the first tokens' predecessors had, normalised
  void* after;         // ... and the last tokens; elsewhere
};

// The inputs of the recurrence from the products of the mixed rows: its log decay w, and k, v, a, b.
struct Prepare {
  ParameterType type;
  int64_t tokens, heads, head_size;
  const void *decay, *rate, *residual;   // the products of low rank; residual null: the first block
  const void *w0, *a0, *v0, *k_k, *k_a;  // [C]
  const void* first_value;               // of the first block
  float* w;
  void *k, *v;  // in place
  void *a, *b;
};

// gated = (y normalised by heads + bonus) * gate
struct Finish {
  ParameterType type;
  int64_t tokens, heads, head_size;
  float eps;
  const void *y, *r, *k, *v, *gate;
  const void *ln_x_weight, *ln_x_bias, *r_k;  // [C]
  void* gated;
};

// --- the functions ---

struct Functions {
  // Whether the step can be used: it needs a channel mix whose width is a multiple of 64, too; on CUDA, matrices that
  // are not packed.
  bool (*can_decode)(const Decode& model);
  // x [batch, C]: of the embedded tokens, normalised by ln0; becomes what ln_out is to be given. slots: row i's state
  // is the pools' row slots[i]; distinct and within the pools (on CUDA, one that is not is not written). Up to
  // kMostDecodeRows rows.
  void (*decode)(const Decode& model, const int64_t* slots, int64_t batch, float* x);
  void (*mix)(const Mix&);
  void (*prepare)(const Prepare&);
  void (*finish)(const Finish&);
  // x = max(x, 0)^2
  void (*square_relu)(ParameterType type, void* x, int64_t count);
};
// Null: there are none, as this library was built without.
WKV_API const Functions* functions(DeviceKind kind);
WKV_API void register_functions(DeviceKind kind, const Functions* functions);

}  // namespace wkv::rwkv7
