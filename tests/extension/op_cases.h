// The table of ops: one row an op, each in its own <op>_test.cpp. The properties in op_properties_test.cpp hold for
// every row.
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

struct OpArgument {
  std::string name;
  bool has_time;                                   // [B, T, ...]; else a parameter
  bool may_be_float;                               // fp32 is accepted beside every io dtype
  std::function<at::Tensor(const OpShape&)> make;  // float64, random; of such values as models produce
};

struct OpCase {
  std::string name;
  std::vector<OpArgument> arguments;  // the differentiable ones, without the states
  // What the op takes and gives back so that a sequence can be cut; none, where it can't be. [B, ...], float64.
  std::vector<std::function<at::Tensor(const OpShape&)>> states = {};
  // y, then the states after. `states` is empty for "none given"; cu_seqlens may be undefined, and is where there are
  // no states.
  std::function<Tensors(const Tensors& arguments, const Tensors& states, const at::Tensor& cu_seqlens)> call;
  // The same in plain ATen, slow, differentiable.
  std::function<Tensors(const Tensors& arguments, const Tensors& states)> reference;
  bool nan_fills_output = true;       // a NaN everywhere in one argument reaches every element of y
  bool states_have_io_dtype = false;  // else they are fp32, or fp64 for fp64 sequences
  bool packs = true;                  // packed sequences give the very states of separate ones
};

const std::vector<OpCase>& op_cases();
const OpCase& op_case(const std::string& name);

// A row of the table: `const OpCaseRow kRow(wkv7_case());` at namespace scope.
struct OpCaseRow {
  explicit OpCaseRow(OpCase op);
};

// Inputs of a case, made from a seed, rounded to the dtype.
struct OpInputs {
  Tensors arguments, states;
  Tensors all() const;
};
OpInputs make_inputs(const OpCase& op, const OpShape& shape, at::ScalarType dtype, uint64_t seed = 1,
                     bool requires_grad = false);
at::ScalarType state_dtype(at::ScalarType dtype);

// The gradients of the sum of outputs * random by `inputs`; the random weights are the same for equal shapes.
Tensors gradients(const Tensors& outputs, const Tensors& inputs);

// The largest difference, relative to the largest of `expected` (or to `floor` where that is larger); NaN where NaNs
// differ.
double difference(const at::Tensor& actual, const at::Tensor& expected, double floor = 0);

// What is allowed between fp64 and a result of this dtype (relative, see difference).
struct Tolerance {
  double output, gradient;
};
Tolerance tolerance_of(at::ScalarType dtype);
// For a golden file: values that its name calls hard, or long sequences, are given more room in fp32.
Tolerance fixture_tolerance(const std::string& file, at::ScalarType dtype, int64_t time);

// --- pieces of rows ---

std::function<at::Tensor(const OpShape&)> random_keys(double scale, double mean = 0);     // [B, T, H, N]
std::function<at::Tensor(const OpShape&)> random_values(double scale, double mean = 0);   // [B, T, H, M]
std::function<at::Tensor(const OpShape&)> random_state();                                 // [B, H, M, N]
std::function<at::Tensor(const OpShape&)> random_per_key(double scale, double mean = 0);  // [H, N]
// Channels C = H * N: [B, T, C] and [C].
std::function<at::Tensor(const OpShape&)> random_channels(double scale, double mean = 0);
std::function<at::Tensor(const OpShape&)> random_per_channel(double scale, double mean = 0);
at::Tensor state_at(const Tensors& states, size_t i);  // undefined where none is given
std::optional<at::Tensor> if_defined(const at::Tensor& x);

// --- refusals: the calls that an op must refuse, and the words ---

struct Refusal {
  const char* name;
  std::function<void(Tensors& x, Tensors& states, at::Tensor& cu_seqlens)> spoil;  // of an fp32 call of OpShape{}
  const char* message;
};
void expect_refused(const OpCase& op, const Refusal& refusal);
at::Tensor bounds(std::initializer_list<int64_t> values);  // a cu_seqlens

}  // namespace wkv::test
