// The table of ops, and what its rows are made of.
#include "extension/op_cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace wkv::test {
namespace {

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

std::vector<OpCase>& table() {
  static std::vector<OpCase> cases;
  return cases;
}

using MakeShape = std::function<std::vector<int64_t>(const OpShape&)>;
std::function<at::Tensor(const OpShape&)> normal(const MakeShape& shape, double scale, double mean) {
  return [=](const OpShape& s) { return at::randn(shape(s), kDoubles) * scale + mean; };
}

}  // namespace

OpCaseRow::OpCaseRow(OpCase op) { table().push_back(std::move(op)); }

const std::vector<OpCase>& op_cases() {
  // The rows register themselves in the order of the link line.
  std::sort(table().begin(), table().end(), [](const OpCase& x, const OpCase& y) { return x.name < y.name; });
  return table();
}

const OpCase& op_case(const std::string& name) {
  for (const OpCase& op : op_cases()) {
    if (op.name == name) return op;
  }
  throw std::out_of_range("no op " + name + " in the table");
}

Tensors OpInputs::all() const {
  Tensors tensors = arguments;
  tensors.insert(tensors.end(), states.begin(), states.end());
  return tensors;
}

at::ScalarType state_dtype(at::ScalarType dtype) { return dtype == at::kDouble ? at::kDouble : at::kFloat; }

OpInputs make_inputs(const OpCase& op, const OpShape& shape, at::ScalarType dtype, uint64_t seed, bool requires_grad) {
  at::manual_seed(seed);
  OpInputs inputs;
  for (const OpArgument& argument : op.arguments) {
    inputs.arguments.push_back(argument.make(shape).to(dtype).detach().requires_grad_(requires_grad));
  }
  const at::ScalarType of_states = op.states_have_io_dtype ? dtype : state_dtype(dtype);
  for (const auto& make : op.states) {
    inputs.states.push_back(make(shape).to(of_states).detach().requires_grad_(requires_grad));
  }
  return inputs;
}

Tensors gradients(const Tensors& outputs, const Tensors& inputs) {
  at::manual_seed(99);
  Tensors weights;
  for (const at::Tensor& x : outputs) weights.push_back(at::randn(x.sizes(), kDoubles).to(x.scalar_type()));
  return torch::autograd::grad(outputs, inputs, weights);
}

double difference(const at::Tensor& actual, const at::Tensor& expected, double floor) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (actual.numel() == 0) return 0;
  const at::Tensor reference = expected.detach().to(at::kDouble);
  const double scale = std::max(reference.abs().max().item<double>(), floor);
  const double error = (actual.detach().to(at::kDouble) - reference).abs().max().item<double>();
  return error == 0 ? 0 : error / scale;
}

Tolerance tolerance_of(at::ScalarType dtype) {
  if (dtype == at::kDouble) return {1e-9, 1e-8};
  if (dtype == at::kFloat) return {1e-5, 5e-5};
  return {2e-2, 3e-2};
}

Tolerance fixture_tolerance(const std::string& file, at::ScalarType dtype, int64_t time) {
  Tolerance tolerance = tolerance_of(dtype);
  if (dtype != at::kFloat) return tolerance;
  for (const char* word : {"big", "large", "extreme", "overflow", "hard", "strong", "unclamped", "offset"}) {
    if (file.find(word) != std::string::npos) tolerance = {3e-4, 1e-3};
  }
  if (time >= 1024) tolerance.gradient = 1e-3;
  return tolerance;
}

std::function<at::Tensor(const OpShape&)> random_keys(double scale, double mean) {
  return normal([](const OpShape& s) { return std::vector{s.batch, s.time, s.heads, s.key}; }, scale, mean);
}
std::function<at::Tensor(const OpShape&)> random_values(double scale, double mean) {
  return normal([](const OpShape& s) { return std::vector{s.batch, s.time, s.heads, s.value}; }, scale, mean);
}
std::function<at::Tensor(const OpShape&)> random_state() {
  return normal([](const OpShape& s) { return std::vector{s.batch, s.heads, s.value, s.key}; }, 1, 0);
}
std::function<at::Tensor(const OpShape&)> random_per_key(double scale, double mean) {
  return normal([](const OpShape& s) { return std::vector{s.heads, s.key}; }, scale, mean);
}
std::function<at::Tensor(const OpShape&)> random_channels(double scale, double mean) {
  return normal([](const OpShape& s) { return std::vector{s.batch, s.time, s.heads * s.key}; }, scale, mean);
}
std::function<at::Tensor(const OpShape&)> random_per_channel(double scale, double mean) {
  return normal([](const OpShape& s) { return std::vector{s.heads * s.key}; }, scale, mean);
}

std::optional<at::Tensor> if_defined(const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }
at::Tensor state_at(const Tensors& states, size_t i) { return i < states.size() ? states[i] : at::Tensor(); }

void expect_refused(const OpCase& op, const Refusal& refusal) {
  OpInputs inputs = make_inputs(op, {}, at::kFloat, 31);
  at::Tensor cu_seqlens;
  refusal.spoil(inputs.arguments, inputs.states, cu_seqlens);
  try {
    op.call(inputs.arguments, inputs.states, cu_seqlens);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(refusal.message));
  }
}

at::Tensor bounds(std::initializer_list<int64_t> values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
}

}  // namespace wkv::test
