// What holds for every op of the table.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "extension/op_cases.h"

namespace wkv::test {
namespace {

std::string dtype_name(at::ScalarType dtype) { return at::toString(dtype); }

double splitting_tolerance(at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-12 : dtype == at::kFloat ? 1e-5 : 2e-2;
}

Tensors to_double(const Tensors& tensors, bool requires_grad) {
  Tensors doubles;
  for (const at::Tensor& x : tensors) doubles.push_back(x.detach().to(at::kDouble).requires_grad_(requires_grad));
  return doubles;
}

void expect_like_the_reference(const OpCase& op, const OpInputs& inputs, at::ScalarType dtype, bool with_states) {
  const Tolerance tolerance = tolerance_of(dtype);
  const Tensors ours = with_states ? inputs.all() : inputs.arguments, doubles = to_double(ours, true);
  const auto middle = doubles.begin() + static_cast<int64_t>(inputs.arguments.size());
  const Tensors expected = op.reference({doubles.begin(), middle}, {middle, doubles.end()});
  const Tensors actual = op.call(inputs.arguments, with_states ? inputs.states : Tensors(), {});
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_EQ(actual[0].scalar_type(), dtype);
  for (size_t i = 0; i < actual.size(); ++i) {
    if (i > 0) {
      EXPECT_EQ(actual[i].scalar_type(), op.states_have_io_dtype ? dtype : state_dtype(dtype));
    }
    EXPECT_LE(difference(actual[i], expected[i]), tolerance.output) << "output " << i;
  }

  if (!expected[0].requires_grad()) return;  // no token, no state: nothing to differentiate
  const Tensors actual_gradients = gradients(actual, ours), expected_gradients = gradients(expected, doubles);
  double largest = 0;
  for (const at::Tensor& g : expected_gradients)
    largest = std::max(largest, g.numel() ? g.abs().max().item<double>() : 0);
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(actual_gradients[i].scalar_type(), ours[i].scalar_type());
    EXPECT_LE(difference(actual_gradients[i], expected_gradients[i], 1e-3 * largest), tolerance.gradient)
        << "input " << i;
  }
}

// The arguments at the tokens first, ..., first + count - 1, or of row `first` of the batch.
Tensors part_of(const OpCase& op, const Tensors& arguments, int64_t dimension, int64_t first, int64_t count) {
  Tensors part;
  for (size_t i = 0; i < arguments.size(); ++i) {
    part.push_back(op.arguments[i].has_time ? arguments[i].narrow(dimension, first, count) : arguments[i]);
  }
  return part;
}
Tensors rows_of(const Tensors& states, int64_t first, int64_t count) {
  Tensors rows;
  for (const at::Tensor& state : states) rows.push_back(state.narrow(0, first, count));
  return rows;
}
Tensors states_after(const Tensors& outputs) { return {outputs.begin() + 1, outputs.end()}; }
Tensors with(const at::Tensor& y, const Tensors& states) {
  Tensors outputs{y};
  outputs.insert(outputs.end(), states.begin(), states.end());
  return outputs;
}

void expect_equal(const Tensors& actual, const Tensors& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(at::equal(actual[i], expected[i])) << "tensor " << i;
}
void expect_close(const Tensors& actual, const Tensors& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (const at::Tensor& x : expected) largest = std::max(largest, x.numel() ? x.abs().max().item<double>() : 0);
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(difference(actual[i], expected[i], 1e-3 * largest), tolerance) << "tensor " << i;
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
  if (op().states.empty()) return;
  expect_like_the_reference(op(), make_inputs(op(), {}, dtype(), 2, true), dtype(), false);
}

TEST_P(OpOfType, takes_float_parameters_beside_any_type) {
  OpInputs inputs = make_inputs(op(), {}, dtype(), 3, false);
  for (size_t i = 0; i < inputs.arguments.size(); ++i) {
    if (op().arguments[i].may_be_float && dtype() != at::kDouble) {
      inputs.arguments[i] = inputs.arguments[i].to(at::kFloat);
    }
    inputs.arguments[i].requires_grad_();
  }
  const Tensors expected = op().reference(to_double(inputs.arguments, false), to_double(inputs.states, false));
  const Tensors actual = op().call(inputs.arguments, inputs.states, {});
  EXPECT_LE(difference(actual[0], expected[0]), tolerance_of(dtype()).output);
  const Tensors grads = gradients({actual[0]}, inputs.arguments);
  for (size_t i = 0; i < grads.size(); ++i) EXPECT_EQ(grads[i].scalar_type(), inputs.arguments[i].scalar_type());
}

TEST_P(OpOfType, a_split_sequence_equals_the_whole) {
  if (op().states.empty()) return;
  const int64_t T = 21;
  const OpInputs whole = make_inputs(op(), {.time = T}, dtype(), 4, true);
  const Tensors expected = op().call(whole.arguments, whole.states, {});
  const Tensors expected_gradients = gradients(expected, whole.all());
  for (const int64_t cut : {0, 1, 7, 16, 20, 21}) {
    SCOPED_TRACE(cut);
    const Tensors head = op().call(part_of(op(), whole.arguments, 1, 0, cut), whole.states, {});
    const Tensors tail = op().call(part_of(op(), whole.arguments, 1, cut, T - cut), states_after(head), {});
    const Tensors joined = with(at::cat({head[0], tail[0]}, 1), states_after(tail));
    expect_close(joined, expected, splitting_tolerance(dtype()));
    expect_close(gradients(joined, whole.all()), expected_gradients, splitting_tolerance(dtype()));
  }
}

TEST_P(OpOfType, packed_sequences_equal_separate_ones) {
  if (op().states.empty() || !op().packs) return;
  const std::vector<int64_t> ends = {0, 5, 5, 6, 24};
  const OpInputs packed = make_inputs(op(), {.batch = 1, .time = 24}, dtype(), 5, true);
  const Tensors states = make_inputs(op(), {.batch = 4}, dtype(), 6, true).states;
  for (const at::ScalarType index : {at::kInt, at::kLong}) {
    const Tensors actual = op().call(packed.arguments, states, at::tensor(ends, at::kLong).to(index));
    std::vector<Tensors> outputs;
    for (size_t s = 0; s + 1 < ends.size(); ++s) {
      outputs.push_back(op().call(part_of(op(), packed.arguments, 1, ends[s], ends[s + 1] - ends[s]),
                                  rows_of(states, static_cast<int64_t>(s), 1), {}));
    }
    Tensors separate;
    for (size_t i = 0; i < actual.size(); ++i) {
      Tensors parts;
      for (const Tensors& output : outputs) parts.push_back(output[i]);
      separate.push_back(at::cat(parts, i == 0 ? 1 : 0));
    }
    expect_equal(actual, separate);
    Tensors inputs = packed.arguments;
    inputs.insert(inputs.end(), states.begin(), states.end());
    expect_close(gradients(actual, inputs), gradients(separate, inputs), splitting_tolerance(dtype()));
  }
}

TEST_P(OpOfType, a_batch_equals_its_rows) {
  const OpInputs inputs = make_inputs(op(), {.batch = 3}, dtype(), 7);
  const Tensors batch = op().call(inputs.arguments, inputs.states, {});
  for (int64_t row = 0; row < 3; ++row) {
    const Tensors single = op().call(part_of(op(), inputs.arguments, 0, row, 1), rows_of(inputs.states, row, 1), {});
    expect_equal(single, rows_of(batch, row, 1));
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
      const Tensors outputs = op().call(inputs.arguments, inputs.states, {});
      results.push_back(gradients(outputs, inputs.all()));
      results.back().insert(results.back().end(), outputs.begin(), outputs.end());
    }
    for (const Tensors& result : results) expect_equal(result, results[0]);
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
  for (const at::Tensor& x : dense.states) other.states.push_back(strided(x));
  ASSERT_FALSE(other.arguments[0].is_contiguous());
  const Tensors expected = op().call(dense.arguments, dense.states, {}),
                actual = op().call(other.arguments, other.states, {});
  expect_equal(actual, expected);
  for (const at::Tensor& x : actual) EXPECT_TRUE(x.is_contiguous());
  expect_equal(gradients(actual, other.all()), gradients(expected, dense.all()));
}

TEST_P(OpOfType, the_states_given_are_not_written) {
  for (const int64_t time : {0, 1, 17}) {
    const OpInputs inputs = make_inputs(op(), {.time = time}, dtype(), 10);
    Tensors copies;
    for (const at::Tensor& state : inputs.states) copies.push_back(state.clone());
    const Tensors outputs = op().call(inputs.arguments, inputs.states, {});
    expect_equal(inputs.states, copies);
    for (size_t i = 0; i < inputs.states.size(); ++i) {
      EXPECT_NE(outputs[i + 1].const_data_ptr(), inputs.states[i].const_data_ptr());
    }
  }
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
    const Tensors outputs = op().call(spoiled, inputs.states, {});
    if (op().nan_fills_output) {
      EXPECT_TRUE(outputs[0].isnan().all().item<bool>()) << op().arguments[i].name;
    }
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
