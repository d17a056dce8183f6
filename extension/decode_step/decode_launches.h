// What the decoding steps of the models share of launching kernels: memory, and the phases that several have. For
// *_cuda.cu.
#pragma once
#include "core/cuda/launch.h"
//
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "decode_step/product.cuh"
#include "decode_step/shift_and_mix.cuh"
#include "wkv/decode_matrix.h"

namespace wkv::cuda {

// run(P{}) for the parameters' type.
template <class Run>
void for_parameter_type(ParameterType type, const Run& run) {
  switch (type) {
    case ParameterType::kFloat:
      return run(float{});
    case ParameterType::kBFloat16:
      return run(BFloat16{});
    case ParameterType::kHalf:
      return run(Half{});
  }
}

// Products read 16 bytes at a time of matrices that are not packed.
inline bool can_multiply(std::initializer_list<DecodeMatrix> matrices) {
  return std::all_of(matrices.begin(), matrices.end(), [](const DecodeMatrix& matrix) {
    return !matrix.packed_row_bytes && reinterpret_cast<uintptr_t>(matrix.data) % 16 == 0 && matrix.columns % 64 == 0 &&
           matrix.rows % 64 == 0;
  });
}

inline Product product_of(const DecodeMatrix& matrix, const float* x, float* y) {
  return {.matrix = matrix.data, .by_columns = false, .inputs = matrix.columns, .outputs = matrix.rows, .x = x, .y = y};
}

// One step: kernels in a chain, each of which begins before its predecessor has ended.
template <class P>
class DecodeLaunches {
 public:
  DecodeLaunches(const int64_t* slots, int64_t batch, int64_t width, float* x)
      : slots_(slots), batch_(batch), width_(width), x_(x) {}

  // fp32 [batch, columns], for the time of the step
  float* rows(int64_t columns) {
    memory_.push_back(device_.memory(batch_ * columns * static_cast<int64_t>(sizeof(float))));
    return data<float>(memory_.back());
  }
  Slots slots(const DecodeStates& states) const { return {slots_, states.slots}; }

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
              const Arguments&... arguments) {
    if (begun_) return device_.launch_early(kernel, blocks, threads, shared_bytes, arguments...);
    device_.launch(kernel, blocks, threads, shared_bytes, arguments...);  // what is ahead of the chain, it waits for
    begun_ = true;
  }

  void shift_and_mix(ShiftAndMix phase) {
    phase.x = x_;
    phase.width = width_;
    launch(shift_and_mix_kernel<P>, batch_, kShiftThreads, row_shared_bytes(width_), phase);
  }

  void multiply(std::initializer_list<Product> list) {
    if (batch_ == 1) return multiply_rows<1>(list);
    if (batch_ == 2) return multiply_rows<2>(list);
    if (batch_ <= 4) return multiply_rows<4>(list);
    multiply_rows<8>(list);
  }
  // x += the product + bias, which may be null.
  void add_product(const DecodeMatrix& matrix, const float* from, const void* bias) {
    Product product = product_of(matrix, from, x_);
    product.outcome = Outcome::kAdd;
    product.bias = bias;
    multiply({product});
  }

 private:
  template <int kRows>
  void multiply_rows(std::initializer_list<Product> list) {
    Products products = {.of = {}, .rows = batch_};
    int64_t tiles = 0;
    int count = 0;
    for (Product product : list) {
      product.tiles = ProductTile<P, kRows>::tiles(product);
      tiles += product.tiles;
      products.of[count++] = product;
    }
    launch(multiply_kernel<P, kRows>, tiles * ((batch_ + kRows - 1) / kRows), kProductThreads,
           product_shared_bytes<P, kRows>(), products);
  }

  const Device device_;
  const int64_t* const slots_;
  const int64_t batch_, width_;
  float* const x_;
  std::vector<Tensor> memory_;
  bool begun_ = false;
};

}  // namespace wkv::cuda
