// What the entries of the decoding steps prepare: memory, and the number of rows.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "core/scratch.h"
#include "decode_step/decode_step.h"
#include "thin_linear/thin_linear.h"

namespace wkv {

// The memory of a step: arrays of zeros.
class DecodeArrays {
 public:
  // packed: there are products with packed matrices.
  DecodeArrays(int64_t inputs, bool packed) : inputs_(inputs), packed_(packed) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    char* const array = arrays_.emplace_back(bytes).get();
    std::fill(array, array + bytes, char{0});
    return reinterpret_cast<T*>(array);
  }
  float* values(int64_t columns) { return take<float>(inputs_ * columns); }
  DecodeRows rows(int64_t columns) {
    return {values(columns), packed_ ? take<PackedGroup>(inputs_ * columns / kPackedGroup) : nullptr, columns};
  }

 private:
  int64_t inputs_;
  bool packed_;
  std::vector<Scratch> arrays_;
};

inline bool any_packed(std::initializer_list<DecodeMatrix> matrices) {
  return std::any_of(matrices.begin(), matrices.end(), [](const auto& matrix) { return matrix.packed_row_bytes > 0; });
}

// So many rows of x are multiplied for so many sequences: what the kernels take together.
inline int64_t decode_inputs(int64_t batch) {
  const int64_t together = thin_inputs(batch);
  return (batch + together - 1) / together * together;
}

}  // namespace wkv
