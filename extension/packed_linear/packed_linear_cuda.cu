// _packed_linear, _unpack_linear and _pack_linear on CUDA.
#include "core/cuda/launch.h"
#include "packed_linear/pack_linear.h"
#include "packed_linear/packed_linear_check.h"
#include "packed_linear/packed_linear_kernels.cuh"

namespace wkv::cuda {
namespace {

bool is_aligned(const Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0; }
// Contiguous, where kernels can read it 16 bytes at a time.
Tensor as_aligned(const Tensor& tensor) {
  const Tensor dense = as_contiguous(tensor);
  return is_aligned(dense) ? dense : torch::stable::clone(dense);
}

// run(format, matrix) for the format of a packed matrix of so many columns. Its sizes tell it, but for a few numbers of
// columns, where both formats have rows of as many bytes: then for both, and the device knows.
template <class Run>
void for_format(const char* op, const Tensor& packed, int64_t columns, const Run& run) {
  const int64_t row_bytes = packed.size(1);
  const auto fits = [&](PackedFormat format) { return packed_row_bytes(format, columns) == row_bytes; };
  const auto run_if_fitting = [&](auto format, PackedFormat other) {
    if (!fits(format)) return;
    PackedMatrix matrix{.bytes = static_cast<const char*>(packed.const_data_ptr()),
                        .rows = packed.size(0) - 1,
                        .row_bytes = row_bytes,
                        .columns = columns,
                        .other_format_fits = fits(other)};
    const PackedHeader header{PackedHeader::kMagic, format, matrix.rows, columns};
    std::memcpy(matrix.header, &header, sizeof header);
    std::copy_n(kInt4Weights, 16, matrix.int4_weights);
    run(format, matrix);
  };
  using Int8 = std::integral_constant<PackedFormat, PackedFormat::kInt8>;
  using Int4 = std::integral_constant<PackedFormat, PackedFormat::kInt4>;
  if (!fits(Int8{}) && !fits(Int4{})) {
    fail(op, ": x must have shape [..., K] with the K of packed, got K = ", columns, " beside a packed of shape ",
         to_text(sizes_of(packed)));
  }
  run_if_fitting(Int8{}, Int4{});
  run_if_fitting(Int4{}, Int8{});
}

// `packed` is aligned.
Tensor unpacked(const char* op, const Device& device, const Tensor& packed, int64_t columns, ScalarType dtype) {
  Tensor weight = new_empty(packed, {packed.size(0) - 1, columns}, dtype);
  if (weight.numel() == 0) return weight;
  for_io_type(weight, [&](auto io) {
    using out_t = decltype(io);
    if constexpr (!std::is_same_v<out_t, double>) {
      for_format(op, packed, columns, [&](auto format, const PackedMatrix& matrix) {
        device.launch(unpack_linear_kernel<format, out_t>, unpack_linear_blocks<format>(matrix), kPackedThreads,
                      packed_linear_shared(0), matrix, data<out_t>(weight));
      });
    }
  });
  return weight;
}

Tensor linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  std::array<StableIValue, 3> stack{torch::stable::detail::from(x), torch::stable::detail::from(weight),
                                    torch::stable::detail::from(bias)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::linear", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

Tensor packed_linear(Tensor x, Tensor packed, std::optional<Tensor> bias) {
  const char* const op = "_packed_linear";
  check_packed_linear(op, x, packed, bias);
  const Device device(x);
  packed = as_aligned(packed);
  const int64_t outputs = packed.size(0) - 1;
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  const int64_t columns = shape.back();
  shape.back() = outputs;
  Tensor y = new_empty(x, shape);
  const int64_t inputs = outputs > 0 ? y.numel() / outputs : 0;

  constexpr int64_t kFewRows = 16;  // whose products take as long as to read the weights
  if (inputs > kFewRows) {
    if (bias) bias = torch::stable::to(*bias, x.scalar_type());
    return linear(x, unpacked(op, device, packed, columns, x.scalar_type()), bias);
  }
  const int64_t padding = (4 - columns % 4) % 4;
  x = as_aligned(padding > 0 ? torch::stable::pad(x, {0, padding}) : x);
  if (bias) bias = as_contiguous(*bias);
  for_format(op, packed, columns, [&](auto format, const PackedMatrix& matrix) {
    const PackedLinearCall call{.matrix = matrix,
                                .inputs = inputs,
                                .stride = columns + padding,
                                .bias = bias ? bias->const_data_ptr() : nullptr,
                                .float_bias = bias && bias->scalar_type() == ScalarType::Float};
    for_io_type(x, [&](auto io) {
      using x_t = decltype(io);
      if constexpr (!std::is_same_v<x_t, double>) {
        const auto launch = [&](auto together) {
          device.launch(packed_linear_kernel<format, x_t, together>, packed_linear_blocks(call, together),
                        kPackedThreads, packed_linear_shared(together), call, data<x_t>(x), data<x_t>(y));
        };
        if (inputs == 1) {
          launch(std::integral_constant<int, 1>{});
        } else {
          launch(std::integral_constant<int, 8>{});
        }
      }
    });
  });
  return y;
}

// Waits for the stream: the shape of what it returns is in the header.
Tensor unpack_linear(Tensor packed, ScalarType dtype) {
  const char* const op = "_unpack_linear";
  check_packed(op, packed);
  if (dtype != ScalarType::Float && dtype != ScalarType::BFloat16 && dtype != ScalarType::Half) {
    fail(op, ": dtype must be float32, bfloat16 or float16");
  }
  const Device device(packed);
  packed = as_aligned(packed);
  const int64_t rows = packed.size(0) - 1;
  const Tensor last_row =
      torch::stable::to(torch::stable::narrow(packed, 0, rows, 1), torch::stable::Device(DeviceType::CPU));
  const PackedHeader header = packed_header(op, last_row.const_data_ptr(), rows, packed.size(1));
  return unpacked(op, device, packed, header.columns, dtype);
}

#ifdef __CUDACC__  // where tensors are on the CPU, it does that itself
// A weight is packed once, to the same bytes on every machine: the CPU does it. Waits for the stream.
Tensor pack_linear(Tensor weight, std::string format) {
  const Tensor on_cpu = torch::stable::to(weight, torch::stable::Device(DeviceType::CPU));
  return torch::stable::to(pack_linear_cpu(on_cpu, format), weight.device());
}
#endif

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_packed_linear", TORCH_BOX(&wkv::cuda::packed_linear));
  m.impl("_unpack_linear", TORCH_BOX(&wkv::cuda::unpack_linear));
#ifdef __CUDACC__
  m.impl("_pack_linear", TORCH_BOX(&wkv::cuda::pack_linear));
#endif
}
