// RWKV-4 (arXiv 2305.13048) without gradients, on raw pointers: a decoding step through all blocks. Internal.
#pragma once
#include "wkv/decode_matrix.h"
#include "wkv/export.h"

namespace wkv::rwkv4 {

// Names as in the checkpoint. All vectors are [C], of the parameters' type.
struct DecodeLayer {
  const void *ln1_weight, *ln1_bias, *ln2_weight, *ln2_bias;
  const void *time_mix_k, *time_mix_v, *time_mix_r, *time_decay, *time_first;
  DecodeMatrix key, value, receptance, output;  // [C, C]
  const void *ffn_time_mix_k, *ffn_time_mix_r;
  DecodeMatrix ffn_key, ffn_receptance, ffn_value;
  DecodeStates states;  // wkv [3, C]
};

struct Decode {
  ParameterType type;
  int64_t width;  // C
  const DecodeLayer* layers;
  int64_t layer_count;
};

struct Functions {
  // The sizes that the step is for: C and the channel mix's width are multiples of 64. On CUDA, no matrix is packed.
  bool (*can_decode)(const Decode& model);
  // x [batch, C]: of the embedded tokens, normalised by ln0; becomes what ln_out is to be given. slots: row i's state
  // is the pools' row slots[i]; distinct and within the pools (on CUDA, one that is not is not written). Up to
  // kMostDecodeRows rows.
  void (*decode)(const Decode& model, const int64_t* slots, int64_t batch, float* x);
};
// Null: there are none, as this library was built without.
WKV_API const Functions* functions(DeviceKind kind);
WKV_API void register_functions(DeviceKind kind, const Functions* functions);

}  // namespace wkv::rwkv4
