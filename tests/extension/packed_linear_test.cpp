// _pack_linear, _unpack_linear, _packed_linear: weight matrices packed for decoding.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "wkv/ops.h"

namespace wkv::test::packed_linear_op {
namespace {

struct Matrix {
  int64_t rows, columns;
};
// Whole blocks and parts of them, whole groups of columns and parts of them.
const std::vector<Matrix> kMatrices = {{64, 64}, {768, 96}, {37, 33}, {130, 200}, {16, 1}, {1, 1}, {15, 5}, {80, 2500}};

at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(shape, generator);
}
at::Tensor weight_of(const Matrix& matrix) { return normal({matrix.rows, matrix.columns}, 1); }
at::Tensor input_for(const Matrix& matrix, int64_t rows) { return normal({rows, matrix.columns}, 2); }

// x as products round it.
at::Tensor in_bytes(const at::Tensor& x) {
  const int64_t columns = x.size(1), padding = (32 - columns % 32) % 32;
  const at::Tensor groups = at::constant_pad_nd(x, {0, padding}).unflatten(1, {-1, 32});
  const at::Tensor largest = groups.abs().amax(2, /*keepdim=*/true).clamp_min(1e-30);
  return ((groups * (127 / largest)).round() * (largest / 127)).flatten(1).narrow(1, 0, columns);
}

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

class PackedLinear : public testing::TestWithParam<const char*> {
 protected:
  const std::string format = GetParam();

  // Of y with the product of x, as the CPU rounds it or as it is, plus bias.
  static double error(const at::Tensor& y, const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
    const at::Tensor weights = ops::unpack_linear(packed).to(at::kDouble).t();
    const auto error_with = [&](const at::Tensor& taken) {
      return relative_error(y, taken.to(at::kDouble).matmul(weights) + bias.to(at::kDouble));
    };
    return std::min(error_with(in_bytes(x)), error_with(x));
  }
};

TEST_P(PackedLinear, is_the_product_with_the_unpacked_weights) {
  for (const Matrix& matrix : kMatrices) {
    const at::Tensor packed = ops::pack_linear(weight_of(matrix), format);
    for (const int64_t rows : {1, 2, 3, 4, 5, 8, 9, 21}) {
      const at::Tensor x = input_for(matrix, rows);
      EXPECT_LE(error(ops::packed_linear(x, packed), x, packed, at::zeros({})), 2e-6)
          << rows << " rows, matrix " << matrix.rows << " x " << matrix.columns;
    }
  }
}

TEST_P(PackedLinear, adds_a_bias_of_either_dtype) {
  const Matrix matrix{37, 40};
  const at::Tensor packed = ops::pack_linear(weight_of(matrix), format);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor x = input_for(matrix, 3).to(type), bias = normal({37}, 3).to(type);
    for (const at::Tensor& given : {bias, bias.to(at::kFloat)}) {
      const at::Tensor y = ops::packed_linear(x, packed, given);
      EXPECT_EQ(y.scalar_type(), type);
      EXPECT_LE(error(y, x.to(at::kFloat), packed, bias), type == at::kFloat ? 2e-6 : type == at::kHalf ? 1e-3 : 4e-3);
    }
  }
}

TEST_P(PackedLinear, gives_a_row_the_same_bits_alone_and_among_others) {
  for (const Matrix& matrix : kMatrices) {
    const at::Tensor packed = ops::pack_linear(weight_of(matrix), format), x = input_for(matrix, 13);
    for (const int64_t rows : {2, 3, 4, 8, 13}) {
      const at::Tensor y = ops::packed_linear(x.narrow(0, 0, rows), packed);
      for (int64_t i = 0; i < rows; ++i) EXPECT_TRUE(at::equal(y[i], ops::packed_linear(x[i], packed)));
    }
  }
}

TEST_P(PackedLinear, gives_the_same_bits_with_any_number_of_threads) {
  const int before = at::get_num_threads();
  for (const Matrix& matrix : {Matrix{1000, 768}, Matrix{2048, 300}}) {
    std::vector<at::Tensor> packed, y;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      packed.push_back(ops::pack_linear(weight_of(matrix), format));
      y.push_back(ops::packed_linear(input_for(matrix, 3), packed.back()));
      EXPECT_TRUE(at::equal(ops::unpack_linear(packed.back()), ops::unpack_linear(packed[0])));
      EXPECT_TRUE(at::equal(y.back(), y[0]));
    }
  }
  at::set_num_threads(before);
}

TEST_P(PackedLinear, takes_any_leading_dimensions) {
  const Matrix matrix{20, 24};
  const at::Tensor packed = ops::pack_linear(weight_of(matrix), format), x = input_for(matrix, 6);
  const at::Tensor y = ops::packed_linear(x, packed);
  EXPECT_TRUE(at::equal(ops::packed_linear(x.view({2, 3, 24}), packed), y.view({2, 3, 20})));
  EXPECT_TRUE(at::equal(ops::packed_linear(x[4], packed), y[4]));
  EXPECT_EQ(ops::packed_linear(x.narrow(0, 0, 0), packed).sizes(), at::IntArrayRef({0, 20}));
}

TEST_P(PackedLinear, takes_strided_tensors_and_unaligned_memory) {
  const Matrix matrix{37, 100};
  const at::Tensor packed = ops::pack_linear(weight_of(matrix), format), x = input_for(matrix, 6);
  const at::Tensor y = ops::packed_linear(x, packed);
  const at::Tensor memory = at::empty({packed.numel() + 1}, at::kByte);
  const at::Tensor unaligned = memory.narrow(0, 1, packed.numel()).view(packed.sizes()).copy_(packed);
  EXPECT_TRUE(at::equal(ops::packed_linear(x.t().contiguous().t(), packed.t().contiguous().t()), y));
  EXPECT_TRUE(at::equal(ops::packed_linear(x, unaligned), y));
  EXPECT_TRUE(at::equal(ops::unpack_linear(unaligned), ops::unpack_linear(packed)));
}

TEST_P(PackedLinear, takes_matrices_without_rows_or_columns) {
  for (const Matrix& matrix : {Matrix{0, 5}, Matrix{5, 0}, Matrix{0, 0}, Matrix{17, 0}}) {
    const at::Tensor packed = ops::pack_linear(weight_of(matrix), format);
    EXPECT_EQ(ops::unpack_linear(packed).sizes(), at::IntArrayRef({matrix.rows, matrix.columns}));
    const at::Tensor bias = normal({matrix.rows}, 3);
    EXPECT_TRUE(at::equal(ops::packed_linear(input_for(matrix, 2), packed, bias), bias.expand({2, matrix.rows})));
  }
}

TEST_P(PackedLinear, survives_weights_of_any_size) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (const float size : {0.0f, 1e-44f, 1e-40f, 1e-30f, 1e30f, kLargest}) {
    const at::Tensor weight = weight_of({16, 64}).sign() * size;
    const at::Tensor unpacked = ops::unpack_linear(ops::pack_linear(weight, format));
    EXPECT_TRUE(unpacked.isfinite().all().item<bool>()) << size;
    if (size == 1e-30f || size == 1e30f) {
      EXPECT_LE(relative_error(unpacked, weight.to(at::kDouble)), 0.01) << size;
    }
  }
}

TEST_P(PackedLinear, passes_a_nan_on_to_its_own_row) {
  const Matrix matrix{20, 70};
  const at::Tensor packed = ops::pack_linear(weight_of(matrix), format), x = input_for(matrix, 3);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    at::Tensor spoiled = x.clone();
    spoiled[1][66] = bad;
    const at::Tensor y = ops::packed_linear(spoiled, packed), sound = ops::packed_linear(x, packed);
    EXPECT_FALSE(y[1].isfinite().any().item<bool>());
    EXPECT_TRUE(at::equal(y[0], sound[0]));
    EXPECT_TRUE(at::equal(y[2], sound[2]));
  }
}

INSTANTIATE_TEST_SUITE_P(Format, PackedLinear, testing::Values("int8", "int4"),
                         [](const auto& test) { return std::string(test.param); });

// --- what packing loses ---

TEST(PackLinear, takes_half_precision_as_the_same_values) {
  for (const char* format : {"int8", "int4"}) {
    for (const auto type : {at::kBFloat16, at::kHalf}) {
      const at::Tensor weight = weight_of({37, 33}).to(type);
      EXPECT_TRUE(at::equal(ops::pack_linear(weight, format), ops::pack_linear(weight.to(at::kFloat), format)));
    }
  }
}

TEST(PackLinear, has_the_same_bytes_on_every_machine) {
  // Weights that no random generator of a machine has a part in.
  const at::Tensor weight =
      at::arange(37 * 70).mul(7919).remainder(1009).sub(504).to(at::kFloat).div(1000).view({37, 70});
  const auto checksum = [&](const char* format) {
    const at::Tensor bytes = ops::pack_linear(weight, format).flatten().to(at::kLong);
    return bytes.mul(at::arange(1, bytes.numel() + 1)).sum().item<int64_t>();
  };
  EXPECT_EQ(checksum("int8"), 483540596);
  EXPECT_EQ(checksum("int4"), 298377342);
}

struct Loss {
  const char* format;
  double weights, products;  // relative, of normal weights and inputs
};

TEST(PackLinear, loses_no_more_than_its_format_must) {
  const at::Tensor weight = weight_of({512, 768}), x = input_for({512, 768}, 16),
                   exact = x.to(at::kDouble).matmul(weight.to(at::kDouble).t());
  for (const Loss& loss : {Loss{"int8", 0.008, 0.011}, Loss{"int4", 0.076, 0.077}}) {
    const at::Tensor packed = ops::pack_linear(weight, loss.format);
    EXPECT_LE(relative_error(ops::unpack_linear(packed), weight.to(at::kDouble)), loss.weights) << loss.format;
    EXPECT_LE(relative_error(ops::packed_linear(x, packed), exact), loss.products) << loss.format;
  }
}

TEST(PackLinear, to_int4_keeps_what_16_values_can_hold) {
  const at::Tensor values = at::tensor({-125, -87, -65, -49, -35, -23, -12, -2, 7, 18, 29, 42, 56, 75, 98, 127});
  const at::Tensor weight = (values.repeat({4, 4}) * at::tensor({1.0, -0.5, 0.25, 3.0}).unsqueeze(1)).to(at::kFloat);
  EXPECT_TRUE(at::equal(ops::unpack_linear(ops::pack_linear(weight, "int4")), weight));
}

TEST(PackLinear, takes_the_bits_that_its_format_says) {
  const auto bits = [](const char* format) {
    const at::Tensor packed = ops::pack_linear(at::zeros({1024, 768}), format);
    return static_cast<double>((packed.size(0) - 1) * packed.size(1) * 8) / (1024 * 768);
  };
  EXPECT_NEAR(bits("int8"), 8, 0.05);
  EXPECT_EQ(bits("int4"), 4.5);
}

// --- refusals ---

struct PackedCall {
  at::Tensor weight = weight_of({20, 40});
  std::string format = "int8";
  at::Tensor packed = ops::pack_linear(weight, format), x = input_for({20, 40}, 2);
  std::optional<at::Tensor> bias;
};

struct PackedRefusal {
  const char* name;
  std::function<void(PackedCall&)> call;
  const char* message;
};

// The header, which is where the last row begins, with another value of so many bytes at `offset`.
template <class T>
at::Tensor with_header(const at::Tensor& packed, int64_t offset, T value) {
  at::Tensor changed = packed.clone();
  std::memcpy(static_cast<char*>(changed.mutable_data_ptr()) + (packed.size(0) - 1) * packed.size(1) + offset, &value,
              sizeof value);
  return changed;
}
void pack(const PackedCall& c) { ops::pack_linear(c.weight, c.format); }
void multiply(const PackedCall& c) { ops::packed_linear(c.x, c.packed, c.bias); }

class PackedLinearRefuses : public testing::TestWithParam<PackedRefusal> {};

TEST_P(PackedLinearRefuses, with_a_message) {
  PackedCall call;
  try {
    GetParam().call(call);
    FAIL() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

const PackedRefusal kRefusals[] = {
    {"an_unknown_format", [](auto& c) { c.format = "int3", pack(c); },
     "_pack_linear: format must be int8 or int4, got \"int3\""},
    {"a_weight_of_one_dimension", [](auto& c) { c.weight = c.weight[0], pack(c); },
     "_pack_linear: weight must have the 2 dimensions [N, K], got shape [40]"},
    {"a_weight_of_fp64", [](auto& c) { c.weight = c.weight.to(at::kDouble), pack(c); },
     "_pack_linear: weight must have dtype Float or BFloat16 or Half, got Double"},
    {"a_weight_that_int8_cannot_hold", [](auto& c) { c.weight[19][39] = INFINITY, pack(c); },
     "_pack_linear: weight must be finite for the format int8"},
    {"a_weight_that_int4_cannot_hold", [](auto& c) { c.weight[0][0] = NAN, c.format = "int4", pack(c); },
     "_pack_linear: weight must be finite for the format int4"},

    {"x_undefined", [](auto& c) { c.x = at::Tensor(), multiply(c); }, "_packed_linear: x must be a tensor, got None"},
    {"x_without_dimensions", [](auto& c) { c.x = at::ones({}), multiply(c); },
     "_packed_linear: x must have the dimensions [..., K], got shape []"},
    {"x_of_other_columns", [](auto& c) { c.x = c.x.narrow(1, 0, 39), multiply(c); },
     "_packed_linear: x must have shape [..., K] with K = 40 as packed has, got [2, 39]"},
    {"x_of_fp64", [](auto& c) { c.x = c.x.to(at::kDouble), multiply(c); },
     "_packed_linear: x must have dtype Float or BFloat16 or Half, got Double"},
    {"x_sparse", [](auto& c) { c.x = c.x.to_sparse(), multiply(c); },
     "_packed_linear: x must be a dense (strided) tensor"},
    {"x_meta", [](auto& c) { c.x = c.x.to(at::kMeta), multiply(c); },
     "_packed_linear: packed must be on meta as x is, got cpu"},
    {"a_bias_of_another_size", [](auto& c) { c.bias = at::ones({21}), multiply(c); },
     "_packed_linear: bias must have shape [N] = [20], got [21]"},
    {"a_bias_of_another_dtype", [](auto& c) { c.bias = at::ones({20}, at::kHalf), multiply(c); },
     "_packed_linear: bias must have dtype Float, got Half"},

    {"packed_as_floats", [](auto& c) { c.packed = c.packed.to(at::kFloat), multiply(c); },
     "_packed_linear: packed must have dtype Byte, got Float"},
    {"packed_in_one_dimension", [](auto& c) { c.packed = c.packed.flatten(), multiply(c); },
     "_packed_linear: packed must have the 2 dimensions [N + 1, row bytes]"},
    {"packed_without_a_row", [](auto& c) { c.packed = c.packed.narrow(0, 0, 0), multiply(c); },
     "_packed_linear: packed must have at least one row, got shape [0, 44]"},
    {"zeros", [](auto& c) { c.packed = at::zeros_like(c.packed), multiply(c); },
     "_packed_linear: packed is not a matrix that _pack_linear has made"},
    {"zeros_to_be_unpacked", [](auto& c) { ops::unpack_linear(at::zeros_like(c.packed)); },
     "_unpack_linear: packed is not a matrix that _pack_linear has made"},
    {"rows_too_short_for_a_header", [](auto& c) { c.packed = c.packed.narrow(1, 0, 8), multiply(c); },
     "_packed_linear: packed is not a matrix that _pack_linear has made"},
    {"packed_without_its_first_row", [](auto& c) { c.packed = c.packed.narrow(0, 1, 20), multiply(c); },
     "_packed_linear: packed is damaged: its header tells of [20, 40] in format 0"},
    {"another_format", [](auto& c) { c.packed = with_header<int64_t>(c.packed, 8, 1), multiply(c); },
     "_packed_linear: packed is damaged: its header tells of [20, 40] in format 1"},
    {"no_format", [](auto& c) { c.packed = with_header<int64_t>(c.packed, 8, 99), multiply(c); },
     "_packed_linear: packed is damaged: its header tells of [20, 40] in format 99"},
    {"more_rows", [](auto& c) { c.packed = with_header<int64_t>(c.packed, 16, 21), multiply(c); },
     "_packed_linear: packed is damaged: its header tells of [21, 40]"},
    {"more_columns", [](auto& c) { c.packed = with_header<int64_t>(c.packed, 24, 41), multiply(c); },
     "_packed_linear: packed is damaged: its header tells of [20, 41]"},
    {"columns_beyond_all_memory",
     [](auto& c) { c.packed = with_header<int64_t>(c.packed, 24, std::numeric_limits<int64_t>::max()), multiply(c); },
     "_packed_linear: packed is damaged"},
    {"negative_columns", [](auto& c) { ops::unpack_linear(with_header<int64_t>(c.packed, 24, -1)); },
     "_unpack_linear: packed is damaged: its header tells of [20, -1]"},

    {"a_gradient", [](auto& c) { ops::packed_linear(c.x.requires_grad_(), c.packed).sum().backward(); },
     "derivative for _packed_linear is not implemented"},
};

INSTANTIATE_TEST_SUITE_P(Call, PackedLinearRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(PackLinear, takes_a_parameter_and_passes_no_gradient) {
  const at::Tensor weight = weight_of({20, 40}).requires_grad_();
  const at::Tensor packed = ops::pack_linear(weight, "int8");
  EXPECT_FALSE(packed.requires_grad());
  EXPECT_TRUE(at::equal(packed, ops::pack_linear(weight.detach(), "int8")));
}

TEST(PackedMatrix, tells_what_it_holds) {
  for (const char* format : {"int8", "int4"}) {
    const ops::PackedMatrix matrix = ops::packed_matrix(ops::pack_linear(weight_of({37, 70}), format));
    EXPECT_EQ(std::tie(matrix.format, matrix.rows, matrix.columns), std::tuple(format, 37, 70));
  }
  EXPECT_THROW(ops::packed_matrix(at::zeros({38, 76}, at::kByte)), std::exception);
}

}  // namespace
}  // namespace wkv::test::packed_linear_op
