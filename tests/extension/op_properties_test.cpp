// What holds for every op of the table.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"

namespace wkv::test {
namespace {

std::string dtype_name(at::ScalarType dtype) { return at::toString(dtype); }

double output_tolerance(at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-9 : dtype == at::kFloat ? 1e-5 : 2e-2;
}
double gradient_tolerance(at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-8 : dtype == at::kFloat ? 5e-5 : 3e-2;
}
double splitting_tolerance(at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-12 : dtype == at::kFloat ? 1e-5 : 2e-2;
}

Tensors to_double(const Tensors& tensors, bool requires_grad) {
  Tensors doubles;
  for (const at::Tensor& x : tensors) doubles.push_back(x.detach().to(at::kDouble).requires_grad_(requires_grad));
  return doubles;
}

void expect_like_the_reference(const OpCase& op, const OpInputs& inputs, at::ScalarType dtype, bool with_state) {
  Tensors reference_inputs = to_double(with_state ? inputs.all() : inputs.arguments, true);
  Tensors reference_arguments(reference_inputs.begin(), reference_inputs.begin() + inputs.arguments.size());
  const OpOutputs expected = op.reference(reference_arguments, with_state ? reference_inputs.back() : at::Tensor());
  const OpOutputs actual = op.call(inputs.arguments, with_state ? inputs.state : at::Tensor(), {});
  EXPECT_EQ(actual.y.scalar_type(), dtype);
  EXPECT_EQ(actual.state.scalar_type(), state_dtype(dtype));
  EXPECT_LE(difference(actual.y, expected.y), output_tolerance(dtype));
  EXPECT_LE(difference(actual.state, expected.state), output_tolerance(dtype));

  if (!expected.y.requires_grad()) return;  // no token, no state: nothing to differentiate
  const Tensors ours = with_state ? inputs.all() : inputs.arguments;
  const Tensors actual_gradients = gradients(actual, ours), expected_gradients = gradients(expected, reference_inputs);
  double largest = 0;
  for (const at::Tensor& g : expected_gradients)
    largest = std::max(largest, g.numel() ? g.abs().max().item<double>() : 0);
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(actual_gradients[i].scalar_type(), ours[i].scalar_type());
    EXPECT_LE(difference(actual_gradients[i], expected_gradients[i], 1e-3 * largest), gradient_tolerance(dtype))
        << "input " << i;
  }
}

// --- op x dtype ---

class OpOfType : public testing::TestWithParam<std::tuple<OpCase, at::ScalarType>> {
 protected:
  const OpCase& op() const { return std::get<0>(GetParam()); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(OpOfType, agrees_with_the_reference) {
  expect_like_the_reference(op(), make_inputs(op(), {}, dtype(), 1, true), dtype(), true);
}

TEST_P(OpOfType, without_a_state_starts_from_the_empty_one) {
  expect_like_the_reference(op(), make_inputs(op(), {}, dtype(), 2, true), dtype(), false);
}

TEST_P(OpOfType, takes_float_parameters_beside_any_type) {
  OpInputs inputs = make_inputs(op(), {}, dtype(), 3, false);
  for (size_t i = 0; i < inputs.arguments.size(); ++i) {
    if (op().arguments[i].may_be_float) inputs.arguments[i] = inputs.arguments[i].to(at::kFloat);
    inputs.arguments[i].requires_grad_();
  }
  inputs.state.requires_grad_();
  const OpOutputs expected = op().reference(to_double(inputs.arguments, false), inputs.state.detach().to(at::kDouble));
  const OpOutputs actual = op().call(inputs.arguments, inputs.state, {});
  EXPECT_LE(difference(actual.y, expected.y), output_tolerance(dtype()));
  const Tensors grads = gradients(actual, inputs.arguments);
  for (size_t i = 0; i < grads.size(); ++i) EXPECT_EQ(grads[i].scalar_type(), inputs.arguments[i].scalar_type());
}

TEST_P(OpOfType, a_split_sequence_equals_the_whole) {
  const int64_t T = 21;
  const OpInputs whole = make_inputs(op(), {.time = T}, dtype(), 4, true);
  const OpOutputs expected = op().call(whole.arguments, whole.state, {});
  const Tensors expected_gradients = gradients(expected, whole.all());
  for (const int64_t at_token : {0, 1, 7, 16, 20, 21}) {
    Tensors first, second;
    for (size_t i = 0; i < whole.arguments.size(); ++i) {
      const at::Tensor& x = whole.arguments[i];
      first.push_back(op().arguments[i].has_time ? x.narrow(1, 0, at_token) : x);
      second.push_back(op().arguments[i].has_time ? x.narrow(1, at_token, T - at_token) : x);
    }
    const OpOutputs head = op().call(first, whole.state, {}), tail = op().call(second, head.state, {});
    const OpOutputs joined{at::cat({head.y, tail.y}, 1), tail.state};
    EXPECT_LE(difference(joined.y, expected.y), splitting_tolerance(dtype())) << "split at " << at_token;
    EXPECT_LE(difference(joined.state, expected.state), splitting_tolerance(dtype())) << "split at " << at_token;
    const Tensors joined_gradients = gradients(joined, whole.all());
    for (size_t i = 0; i < joined_gradients.size(); ++i) {
      EXPECT_LE(difference(joined_gradients[i], expected_gradients[i]), splitting_tolerance(dtype()))
          << "split at " << at_token << ", gradient " << i;
    }
  }
}

TEST_P(OpOfType, packed_sequences_equal_separate_ones) {
  const std::vector<int64_t> bounds = {0, 5, 5, 6, 24};
  const OpInputs packed = make_inputs(op(), {.batch = 1, .time = 24}, dtype(), 5, true);
  const at::Tensor states = make_inputs(op(), {.batch = 4}, dtype(), 6, true).state;
  for (const at::ScalarType index : {at::kInt, at::kLong}) {
    const OpOutputs actual = op().call(packed.arguments, states, at::tensor(bounds, at::kLong).to(index));
    Tensors y, after;
    for (size_t s = 0; s + 1 < bounds.size(); ++s) {
      Tensors own;
      for (size_t i = 0; i < packed.arguments.size(); ++i) {
        const at::Tensor& x = packed.arguments[i];
        own.push_back(op().arguments[i].has_time ? x.narrow(1, bounds[s], bounds[s + 1] - bounds[s]) : x);
      }
      const OpOutputs outputs = op().call(own, states.narrow(0, static_cast<int64_t>(s), 1), {});
      y.push_back(outputs.y);
      after.push_back(outputs.state);
    }
    const OpOutputs separate{at::cat(y, 1), at::cat(after, 0)};
    EXPECT_TRUE(at::equal(actual.y, separate.y));
    EXPECT_TRUE(at::equal(actual.state, separate.state));
    Tensors inputs = packed.arguments;
    inputs.push_back(states);
    const Tensors expected = gradients(separate, inputs), found = gradients(actual, inputs);
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_LE(difference(found[i], expected[i]), splitting_tolerance(dtype())) << i;
  }
}

TEST_P(OpOfType, a_batch_equals_its_rows) {
  const OpInputs inputs = make_inputs(op(), {.batch = 3}, dtype(), 7);
  const OpOutputs batch = op().call(inputs.arguments, inputs.state, {});
  for (int64_t row = 0; row < 3; ++row) {
    Tensors own;
    for (size_t i = 0; i < inputs.arguments.size(); ++i) {
      own.push_back(op().arguments[i].has_time ? inputs.arguments[i].narrow(0, row, 1) : inputs.arguments[i]);
    }
    const OpOutputs single = op().call(own, inputs.state.narrow(0, row, 1), {});
    EXPECT_TRUE(at::equal(single.y, batch.y.narrow(0, row, 1)));
    EXPECT_TRUE(at::equal(single.state, batch.state.narrow(0, row, 1)));
  }
}

TEST_P(OpOfType, results_do_not_depend_on_the_number_of_threads) {
  const int threads_before = at::get_num_threads();
  for (const OpShape& shape :
       {OpShape{.batch = 1, .time = 130, .heads = 1, .key = 64, .value = 80}, OpShape{.time = 200, .heads = 3}}) {
    const OpInputs inputs = make_inputs(op(), shape, dtype(), 8, true);
    std::vector<Tensors> results;
    for (const int threads : {1, 1, 2, 3, 7}) {
      at::set_num_threads(threads);
      const OpOutputs outputs = op().call(inputs.arguments, inputs.state, {});
      results.push_back(gradients(outputs, inputs.all()));
      results.back().push_back(outputs.y);
      results.back().push_back(outputs.state);
    }
    for (const Tensors& result : results) {
      for (size_t i = 0; i < result.size(); ++i) EXPECT_TRUE(at::equal(result[i], results[0][i])) << "tensor " << i;
    }
  }
  at::set_num_threads(threads_before);
}

TEST_P(OpOfType, strides_do_not_matter) {
  const OpInputs dense = make_inputs(op(), {}, dtype(), 9, true);
  const auto strided =
      [](const at::Tensor& x) {  // transposed, with a gap between elements, and away from any alignment
        at::Tensor wide = at::zeros({x.numel() * 2 + 1}, x.options());
        at::Tensor view = wide.narrow(0, 1, x.numel() * 2).view({x.numel(), 2}).select(1, 0);
        view.copy_(x.detach().transpose(0, -1).reshape(-1));
        std::vector<int64_t> sizes = x.sizes().vec();
        std::swap(sizes.front(), sizes.back());
        return view.view(sizes).transpose(0, -1).detach().requires_grad_();
      };
  OpInputs other;
  for (const at::Tensor& x : dense.arguments) other.arguments.push_back(strided(x));
  other.state = strided(dense.state);
  ASSERT_FALSE(other.arguments[0].is_contiguous());
  const OpOutputs expected = op().call(dense.arguments, dense.state, {}),
                  actual = op().call(other.arguments, other.state, {});
  EXPECT_TRUE(at::equal(actual.y, expected.y));
  EXPECT_TRUE(at::equal(actual.state, expected.state));
  EXPECT_TRUE(actual.y.is_contiguous());
  const Tensors expected_gradients = gradients(expected, dense.all()), found = gradients(actual, other.all());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected_gradients[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Op, OpOfType,
                         testing::Combine(testing::ValuesIn(op_cases()),
                                          testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" + dtype_name(std::get<1>(test.param));
                         });

// --- op x shape ---

const std::vector<OpShape> kShapes = {
    {.time = 0},
    {.time = 1},
    {.time = 2},
    {.time = 3},
    {.time = 15},
    {.time = 16},
    {.time = 31},
    {.time = 32},
    {.time = 33},
    {.batch = 1, .time = 300, .heads = 1},  // more than one size of chunk
    {.batch = 0},
    {.heads = 0},
    {.heads = 1, .key = 1, .value = 1},
    {.key = 8, .value = 8},
    {.key = 20, .value = 20},
    {.key = 32, .value = 32},
    {.key = 64, .value = 64},
    {.heads = 1, .key = 80, .value = 80},
    {.heads = 1, .key = 128, .value = 128},
    {.batch = 1, .time = 5, .heads = 1, .key = 256, .value = 256},
    {.key = 64, .value = 33},
    {.key = 7, .value = 48},
    {.key = 16, .value = 100},
};

class OpOfShape : public testing::TestWithParam<std::tuple<OpCase, OpShape>> {
 protected:
  const OpCase& op() const { return std::get<0>(GetParam()); }
  const OpShape& shape() const { return std::get<1>(GetParam()); }
};

TEST_P(OpOfShape, agrees_with_the_reference) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    expect_like_the_reference(op(), make_inputs(op(), shape(), dtype, 11, true), dtype, true);
  }
}

TEST_P(OpOfShape, a_nan_reaches_the_output_and_nothing_else_breaks) {
  const OpInputs inputs = make_inputs(op(), shape(), at::kFloat, 12);
  if (inputs.arguments[0].numel() == 0) return;  // no element to spoil
  for (size_t i = 0; i < inputs.arguments.size(); ++i) {
    Tensors spoiled = inputs.arguments;
    spoiled[i] = spoiled[i].clone().fill_(std::numeric_limits<float>::quiet_NaN());
    for (at::Tensor& x : spoiled) x = x.detach().requires_grad_();
    const OpOutputs outputs = op().call(spoiled, inputs.state, {});
    EXPECT_TRUE(outputs.y.isnan().all().item<bool>()) << op().arguments[i].name;
    EXPECT_NO_THROW(gradients(outputs, spoiled));
  }
}

INSTANTIATE_TEST_SUITE_P(Op, OpOfShape, testing::Combine(testing::ValuesIn(op_cases()), testing::ValuesIn(kShapes)),
                         [](const auto& test) {
                           const OpShape& s = std::get<1>(test.param);
                           return std::get<0>(test.param).name + "_B" + std::to_string(s.batch) + "_T" +
                                  std::to_string(s.time) + "_H" + std::to_string(s.heads) + "_N" +
                                  std::to_string(s.key) + "_M" + std::to_string(s.value);
                         });

}  // namespace
}  // namespace wkv::test
