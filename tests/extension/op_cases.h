// The table of recurrent ops: one row an op. The properties in op_properties_test.cpp hold for every row.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

namespace wkv::test {

using Tensors = std::vector<at::Tensor>;

struct OpShape {
  int64_t batch = 2, time = 17, heads = 2, key = 16, value = 16;
};

struct OpOutputs {
  at::Tensor y, state;
};

struct OpArgument {
  std::string name;
  bool has_time;                                   // [B, T, ...]; else a parameter
  bool may_be_float;                               // fp32 is accepted beside every io dtype
  std::function<at::Tensor(const OpShape&)> make;  // float64, random; of such values as models produce
};

struct OpCase {
  std::string name;
  std::vector<OpArgument> arguments;  // without the state; each is differentiable
  std::function<at::Tensor(const OpShape&)> make_state;
  // `state` and `cu_seqlens` may be undefined.
  std::function<OpOutputs(const Tensors& arguments, const at::Tensor& state, const at::Tensor& cu_seqlens)> call;
  std::function<OpOutputs(const Tensors& arguments, const at::Tensor& state)> reference;
};

const std::vector<OpCase>& op_cases();

// Inputs of a case, made from a seed, rounded to the dtype.
struct OpInputs {
  Tensors arguments;
  at::Tensor state;
  Tensors all() const;
};
OpInputs make_inputs(const OpCase& op, const OpShape& shape, at::ScalarType dtype, uint64_t seed = 1,
                     bool requires_grad = false);
at::ScalarType state_dtype(at::ScalarType dtype);

// The gradients of sum(y * random) + sum(state * random) by `inputs`; the random weights are the same for equal shapes.
Tensors gradients(const OpOutputs& outputs, const Tensors& inputs);

// The largest difference, relative to the largest of `expected` (or to `floor` where that is larger); NaN where NaNs
// differ.
double difference(const at::Tensor& actual, const at::Tensor& expected, double floor = 0);

}  // namespace wkv::test
