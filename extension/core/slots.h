// What the decode ops ask of their pool of states and of their slots: row i of the batch steps the state pool[slots[i]]
// in place.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/check.h"

namespace wkv {

// pool: [P, state...], fp32 (fp64 for fp64 x), on the device of x. Each state is contiguous and apart from the others;
// between them there may be space, as in the pool[:, layer] of a pool of all layers.
template <class Tensor>
void check_pool(const char* op, const Tensor& pool, const char* letters, const SizesOf<Tensor>& state_shape,
                const char* x_name, const Tensor& x, const char* pool_name = "pool") {
  const Check<Tensor> check{op};
  check.dimensions(pool_name, pool, letters, state_shape.size() + 1);
  auto shape = state_shape;
  shape.insert(shape.begin(), sizes_of(pool)[0]);
  check.shape(pool_name, pool, letters, shape);
  check.dtype(pool_name, pool, {x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float});
  check.same_device(pool_name, pool, x_name, x);

  if (std::any_of(shape.begin(), shape.end(), [](const auto& size) { return size == 0; })) return;
  const auto strides = strides_of(pool);
  typename SizesOf<Tensor>::value_type elements = 1;  // of a state, as far as the loop has come
  bool contiguous_states = true;
  for (size_t i = shape.size() - 1; i > 0; --i) {
    contiguous_states = contiguous_states && (shape[i] == 1 || strides[i] == elements);
    elements = elements * shape[i];
  }
  if (!contiguous_states || (shape[0] > 1 && strides[0] < elements)) {
    fail(op, ": ", pool_name, " must have contiguous states apart from each other, got strides ", to_text(strides),
         " of shape ", to_text(shape));
  }
}

// slots: int64 [B], a slot for each row of x [B, ...], on the device of the pool.
template <class Tensor>
void check_slots(const char* op, const Tensor& slots, const Tensor& pool, const Tensor& x) {
  const Check<Tensor> check{op};
  check.shape("slots", slots, "[B]", {sizes_of(x)[0]});
  check.dtype("slots", slots, {ScalarType::Long});
  check.same_device("slots", slots, "pool", pool);
}

// The values of the slots, where they can be read: each within the pool, none twice. To be called before anything is
// written.
inline void check_slot_values(const char* op, const int64_t* slots, int64_t count, int64_t pool_size) {
  bool increasing = true;
  for (int64_t i = 0; i < count; ++i) {
    if (slots[i] < 0 || slots[i] >= pool_size) {
      fail(op, ": slots must be 0 to P - 1 = ", pool_size - 1, ", got ", slots[i], " at entry ", i);
    }
    increasing = increasing && (i == 0 || slots[i - 1] < slots[i]);
  }
  if (increasing) return;
  std::vector<int64_t> sorted(slots, slots + count);
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) fail(op, ": slots must be distinct, got ", *twice, " twice");
}

}  // namespace wkv
