// The rows of the op table.
#include "extension/op_cases.h"

#include <torch/csrc/autograd/autograd.h>

#include "reference/wkv7.h"
#include "wkv/ops.h"

namespace wkv::test {
namespace {

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

at::Tensor normal_rows(const OpShape& s, int64_t size, double scale) {
  return at::randn({s.batch, s.time, s.heads, size}, kDoubles) * scale;
}
std::optional<at::Tensor> if_defined(const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }

OpCase wkv7_case() {
  const auto key_rows = [](double scale, double mean = 0) {
    return [=](const OpShape& s) { return normal_rows(s, s.key, scale) + mean; };
  };
  const auto unit_rows = [](double scale) {
    return [=](const OpShape& s) {
      const at::Tensor x = normal_rows(s, s.key, 1);
      return x / x.norm(2, -1, true) * scale;
    };
  };
  return {
      .name = "wkv7",
      .arguments = {{"r", true, false, key_rows(0.5)},
                    {"w", true, true, key_rows(0.5, -1.5)},
                    {"k", true, false, key_rows(0.5)},
                    {"v", true, false, [](const OpShape& s) { return normal_rows(s, s.value, 0.5); }},
                    {"a", true, false, unit_rows(-1)},
                    {"b", true, false, unit_rows(0.5)}},
      .make_state =
          [](const OpShape& s) {
            return at::randn({s.batch, s.heads, s.value, s.key}, kDoubles);
          },
      .call =
          [](const Tensors& x, const at::Tensor& state, const at::Tensor& cu_seqlens) {
            auto [y, after] = ops::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], if_defined(state), if_defined(cu_seqlens));
            return OpOutputs{y, after};
          },
      .reference =
          [](const Tensors& x, const at::Tensor& state) {
            auto [y, after] = reference::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], state);
            return OpOutputs{y, after};
          },
  };
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = {wkv7_case()};
  return cases;
}

Tensors OpInputs::all() const {
  Tensors tensors = arguments;
  if (state.defined()) tensors.push_back(state);
  return tensors;
}

at::ScalarType state_dtype(at::ScalarType dtype) { return dtype == at::kDouble ? at::kDouble : at::kFloat; }

OpInputs make_inputs(const OpCase& op, const OpShape& shape, at::ScalarType dtype, uint64_t seed, bool requires_grad) {
  at::manual_seed(seed);
  OpInputs inputs;
  for (const OpArgument& argument : op.arguments) {
    inputs.arguments.push_back(argument.make(shape).to(dtype).detach().requires_grad_(requires_grad));
  }
  inputs.state = op.make_state(shape).to(state_dtype(dtype)).detach().requires_grad_(requires_grad);
  return inputs;
}

Tensors gradients(const OpOutputs& outputs, const Tensors& inputs) {
  at::manual_seed(99);
  const auto weights = [](const at::Tensor& x) { return at::randn(x.sizes(), kDoubles).to(x.scalar_type()); };
  const at::Tensor y_weights = weights(outputs.y), state_weights = weights(outputs.state);
  return torch::autograd::grad({outputs.y, outputs.state}, inputs, {y_weights, state_weights});
}

double difference(const at::Tensor& actual, const at::Tensor& expected, double floor) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (actual.numel() == 0) return 0;
  const at::Tensor reference = expected.detach().to(at::kDouble);
  const double scale = std::max(reference.abs().max().item<double>(), floor);
  const double error = (actual.detach().to(at::kDouble) - reference).abs().max().item<double>();
  return error == 0 ? 0 : error / scale;
}

}  // namespace wkv::test
