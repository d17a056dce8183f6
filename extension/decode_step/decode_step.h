// What the decoding steps of the models share: the sequences and the rows of values between phases.
#pragma once
#include <cstdint>

#include "core/phase.h"
#include "packed_linear/packed_linear.h"
#include "wkv/decode_matrix.h"

namespace wkv {

// Rows of fp32 [inputs][columns], and the same in groups of 8 bits, which products with packed matrices read.
struct DecodeRows {
  float* values;
  PackedGroup* groups;
  int64_t columns;
};

// Rows beyond the batch, up to `inputs`, are there for the products only.
struct DecodeStep {
  const int64_t* slots;
  int64_t batch, inputs, width;
  float *x, *normal;  // [inputs, C]
  Phase* phases;      // one for each phase of the step
  const PackedLinearKernels& packed;
  int64_t threads;
};

}  // namespace wkv
