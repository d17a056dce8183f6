// The gradient of a parameter, which is a sum over sequences: each task writes its part, and the parts are summed in
// the order of the sequences, whatever the number of threads.
#pragma once
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <type_traits>
#include <vector>

#include "core/stable.h"

namespace wkv {

// The parts, [sequences, size], of fp32, or fp64 for fp64 sequences.
class ParameterGradient {
 public:
  ParameterGradient(bool doubles, int64_t sequences, int64_t size)
      : doubles_(doubles),
        sequences_(sequences),
        size_(size),
        parts_(static_cast<size_t>(sequences * size * bytes())) {}

  // Element `offset` of the part of a sequence.
  void* part(int64_t sequence, int64_t offset) { return parts_.data() + (sequence * size_ + offset) * bytes(); }

  // Their sum to a contiguous tensor of `size` elements.
  void sum_to(Tensor& tensor) const {
    switch (tensor.scalar_type()) {
      case ScalarType::Double:
        return sum_to(static_cast<double*>(tensor.mutable_data_ptr()));
      case ScalarType::BFloat16:
        return sum_to(static_cast<torch::headeronly::BFloat16*>(tensor.mutable_data_ptr()));
      case ScalarType::Half:
        return sum_to(static_cast<torch::headeronly::Half*>(tensor.mutable_data_ptr()));
      default:
        return sum_to(static_cast<float*>(tensor.mutable_data_ptr()));
    }
  }

 private:
  int64_t bytes() const { return doubles_ ? 8 : 4; }
  template <class T>
  void sum_to(T* to) const {
    for (int64_t i = 0; i < size_; ++i) {
      double sum = 0;
      for (int64_t s = 0; s < sequences_; ++s) sum += value(s * size_ + i);
      if constexpr (std::is_same_v<T, double>) {
        to[i] = sum;
      } else {
        to[i] = static_cast<T>(static_cast<float>(sum));
      }
    }
  }
  double value(int64_t i) const {
    if (doubles_) return reinterpret_cast<const double*>(parts_.data())[i];
    return reinterpret_cast<const float*>(parts_.data())[i];
  }

  bool doubles_;
  int64_t sequences_, size_;
  std::vector<char> parts_;
};

}  // namespace wkv
