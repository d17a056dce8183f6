// _thin_linear: products of few rows with weights as a checkpoint has them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "wkv/ops.h"

namespace wkv::test::thin_linear_op {
namespace {

struct Matrix {
  int64_t rows, columns;
};
// Whole vectors and cache lines of columns and parts of them; fewer rows than are read side by side, and odd numbers.
const std::vector<Matrix> kMatrices = {{64, 64}, {768, 96}, {37, 33}, {131, 201}, {16, 1}, {1, 1}, {1, 77}, {83, 2501}};

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(shape, generator);
}
at::Tensor input_for(const Matrix& matrix, int64_t rows) { return normal({rows, matrix.columns}, 2); }

at::Tensor exact(const at::Tensor& x, const at::Tensor& weight) {
  return at::linear(x.to(at::kDouble), weight.to(at::kDouble));
}
double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}
double rounding(at::ScalarType type) { return type == at::kFloat ? 1e-6 : type == at::kHalf ? 1e-3 : 4e-3; }

class ThinLinear : public testing::TestWithParam<at::ScalarType> {
 protected:
  const at::ScalarType dtype = GetParam();

  at::Tensor weight_of(const Matrix& matrix) const { return normal({matrix.rows, matrix.columns}, 1).to(dtype); }
};

TEST_P(ThinLinear, is_the_product) {
  for (const Matrix& matrix : kMatrices) {
    const at::Tensor weight = weight_of(matrix);
    for (const int64_t rows : {1, 2, 3, 4, 5, 8, 9, 21}) {
      const at::Tensor x = input_for(matrix, rows);
      EXPECT_LE(relative_error(ops::thin_linear(x, weight), exact(x, weight)), rounding(at::kFloat))
          << rows << " rows, matrix " << matrix.rows << " x " << matrix.columns;
    }
  }
}

TEST_P(ThinLinear, takes_x_and_a_bias_of_other_dtypes) {
  const Matrix matrix{37, 40};
  const at::Tensor weight = weight_of(matrix);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor x = input_for(matrix, 3).to(type), bias = normal({37}, 3).to(type);
    const at::Tensor sum = exact(x, weight) + bias.to(at::kDouble);
    for (const at::Tensor& given : {bias, bias.to(at::kFloat)}) {
      const at::Tensor y = ops::thin_linear(x, weight, given);
      EXPECT_EQ(y.scalar_type(), type);
      EXPECT_LE(relative_error(y, sum), rounding(type));
    }
  }
}

TEST_P(ThinLinear, gives_a_row_the_same_bits_alone_and_among_others) {
  for (const Matrix& matrix : kMatrices) {
    const at::Tensor weight = weight_of(matrix), x = input_for(matrix, 13);
    for (const int64_t rows : {2, 3, 4, 8, 13}) {
      const at::Tensor y = ops::thin_linear(x.narrow(0, 0, rows), weight);
      for (int64_t i = 0; i < rows; ++i) EXPECT_TRUE(at::equal(y[i], ops::thin_linear(x[i], weight)));
    }
  }
}

TEST_P(ThinLinear, gives_the_same_bits_with_any_number_of_threads) {
  const int before = at::get_num_threads();
  for (const Matrix& matrix : {Matrix{1001, 769}, Matrix{2048, 300}}) {
    const at::Tensor weight = weight_of(matrix);
    for (const int64_t rows : {1, 3}) {
      std::vector<at::Tensor> y;
      for (const int threads : {1, 2, 3, 7}) {
        at::set_num_threads(threads);
        y.push_back(ops::thin_linear(input_for(matrix, rows), weight));
        EXPECT_TRUE(at::equal(y.back(), y[0])) << threads << " threads";
      }
    }
  }
  at::set_num_threads(before);
}

TEST_P(ThinLinear, takes_any_leading_dimensions) {
  const Matrix matrix{20, 24};
  const at::Tensor weight = weight_of(matrix), x = input_for(matrix, 6), y = ops::thin_linear(x, weight);
  EXPECT_TRUE(at::equal(ops::thin_linear(x.view({2, 3, 24}), weight), y.view({2, 3, 20})));
  EXPECT_TRUE(at::equal(ops::thin_linear(x[4], weight), y[4]));
  EXPECT_EQ(ops::thin_linear(x.narrow(0, 0, 0), weight).sizes(), at::IntArrayRef({0, 20}));
}

TEST_P(ThinLinear, takes_strided_tensors) {
  const Matrix matrix{37, 100};
  const at::Tensor weight = weight_of(matrix), x = input_for(matrix, 6), y = ops::thin_linear(x, weight);
  EXPECT_TRUE(at::equal(ops::thin_linear(x.t().contiguous().t(), weight), y));
  EXPECT_TRUE(at::equal(ops::thin_linear(x, weight.t().contiguous().t()), y));
  EXPECT_TRUE(at::equal(ops::thin_linear(x, weight.repeat({1, 2}).narrow(1, 0, 100)), y));
}

TEST_P(ThinLinear, takes_matrices_without_rows_or_columns) {
  for (const Matrix& matrix : {Matrix{0, 5}, Matrix{5, 0}, Matrix{0, 0}, Matrix{17, 0}}) {
    const at::Tensor bias = normal({matrix.rows}, 3);
    EXPECT_TRUE(
        at::equal(ops::thin_linear(input_for(matrix, 2), weight_of(matrix), bias), bias.expand({2, matrix.rows})));
  }
}

TEST_P(ThinLinear, passes_a_nan_on_to_its_own_row_or_column) {
  const Matrix matrix{20, 70};
  const at::Tensor weight = weight_of(matrix), x = input_for(matrix, 3), sound = ops::thin_linear(x, weight);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    at::Tensor spoiled = x.clone();
    spoiled[1][66] = bad;
    const at::Tensor y = ops::thin_linear(spoiled, weight);
    EXPECT_FALSE(y[1].isfinite().any().item<bool>());
    EXPECT_TRUE(at::equal(y[0], sound[0]));
    EXPECT_TRUE(at::equal(y[2], sound[2]));

    at::Tensor spoiled_weight = weight.clone();
    spoiled_weight[19][69] = bad;
    const at::Tensor z = ops::thin_linear(x, spoiled_weight);
    EXPECT_FALSE(z.select(1, 19).isfinite().any().item<bool>());
    EXPECT_TRUE(at::equal(z.narrow(1, 0, 19), sound.narrow(1, 0, 19)));
  }
}

INSTANTIATE_TEST_SUITE_P(Weight, ThinLinear, testing::Values(at::kFloat, at::kBFloat16, at::kHalf),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

// --- refusals ---

struct ThinCall {
  at::Tensor x = at::ones({2, 40}), weight = at::ones({20, 40});
  std::optional<at::Tensor> bias;
};

struct ThinRefusal {
  const char* name;
  std::function<void(ThinCall&)> spoil;
  const char* message;
};

class ThinLinearRefuses : public testing::TestWithParam<ThinRefusal> {};

TEST_P(ThinLinearRefuses, with_a_message) {
  ThinCall call;
  GetParam().spoil(call);
  try {
    ops::thin_linear(call.x, call.weight, call.bias);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

const ThinRefusal kThinRefusals[] = {
    {"a_weight_of_one_dimension", [](auto& c) { c.weight = c.weight[0]; },
     "_thin_linear: weight must have the 2 dimensions [N, K], got shape [40]"},
    {"a_weight_of_fp64", [](auto& c) { c.weight = c.weight.to(at::kDouble); },
     "_thin_linear: weight must have dtype Float or BFloat16 or Half, got Double"},
    {"a_weight_of_bytes", [](auto& c) { c.weight = c.weight.to(at::kByte); },
     "_thin_linear: weight must have dtype Float or BFloat16 or Half, got Byte"},
    {"x_undefined", [](auto& c) { c.x = at::Tensor(); }, "_thin_linear: x must be a tensor, got None"},
    {"x_without_dimensions", [](auto& c) { c.x = at::ones({}); },
     "_thin_linear: x must have the dimensions [..., K], got shape []"},
    {"x_of_other_columns", [](auto& c) { c.x = c.x.narrow(1, 0, 39); }, "_thin_linear: x must have shape [..., K]"},
    {"x_of_fp64", [](auto& c) { c.x = c.x.to(at::kDouble); },
     "_thin_linear: x must have dtype Float or BFloat16 or Half, got Double"},
    {"x_sparse", [](auto& c) { c.x = c.x.to_sparse(); }, "_thin_linear: x must be a dense (strided) tensor"},
    {"x_meta", [](auto& c) { c.x = c.x.to(at::kMeta); }, "_thin_linear: weight must be on meta as x is, got cpu"},
    {"a_bias_of_another_size", [](auto& c) { c.bias = at::ones({21}); },
     "_thin_linear: bias must have shape [N] = [20], got [21]"},
    {"a_bias_of_another_dtype", [](auto& c) { c.bias = at::ones({20}, at::kHalf); },
     "_thin_linear: bias must have dtype Float, got Half"},
};

INSTANTIATE_TEST_SUITE_P(Call, ThinLinearRefuses, testing::ValuesIn(kThinRefusals),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ThinLinearGradient, is_refused) {
  const at::Tensor weight = at::ones({20, 40}).requires_grad_();
  EXPECT_THAT(
      [&] {
        ops::thin_linear(at::ones({2, 40}), weight).sum().backward();
      },
      testing::ThrowsMessage<std::exception>(testing::HasSubstr("_thin_linear")));
}

}  // namespace
}  // namespace wkv::test::thin_linear_op
