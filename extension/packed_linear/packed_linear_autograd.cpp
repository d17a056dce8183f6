// _packed_linear for PyTorch's other layers, the shapes of _pack_linear and _unpack_linear, and their typed calls.
#include "core/autograd.h"
#include "packed_linear/packed_linear_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct PackedLinearOp {
  static constexpr const char* kName = "_packed_linear";
  using Signature = Tensor(const Tensor& x, const Tensor& packed, const OptionalTensor& bias);
  static constexpr std::array kAutocast{0};

  static void check(const char* op, const Tensor& x, const Tensor& packed, const OptionalTensor& bias) {
    check_packed_linear(op, x, packed, bias);
  }
  static Tensor meta(const Tensor& x, const Tensor& packed, const OptionalTensor&) {
    auto shape = x.sym_sizes().vec();
    shape.back() = packed.sym_size(0) - 1;
    return empty_of_shape(shape, x.options());
  }
};

struct PackLinearOp {
  static constexpr const char* kName = "_pack_linear";
  using Signature = Tensor(const Tensor& weight, c10::string_view format);

  static Tensor meta(const Tensor& weight, c10::string_view format_name) {
    const PackedFormat format = packed_format(kName, std::string(format_name));
    check_pack_linear(kName, weight);
    return empty_of_shape({weight.sym_size(0) + 1, packed_row_bytes(format, weight.sym_size(1))},
                          weight.options().dtype(at::kByte));
  }
};

struct UnpackLinearOp {
  static constexpr const char* kName = "_unpack_linear";
  using Signature = Tensor(const Tensor& packed, at::ScalarType dtype);
};

}  // namespace

Tensor ops::pack_linear(const Tensor& weight, const std::string& format) { return call<PackLinearOp>(weight, format); }
Tensor ops::packed_linear(const Tensor& x, const Tensor& packed, const OptionalTensor& bias) {
  return call<PackedLinearOp>(x, packed, bias);
}
ops::PackedMatrix ops::packed_matrix(const Tensor& packed) {
  check_packed(PackedLinearOp::kName, packed);
  const int64_t rows = packed.size(0) - 1;
  const Tensor last_row = packed.narrow(0, rows, 1).cpu().contiguous();
  const PackedHeader header = packed_header(PackedLinearOp::kName, last_row.const_data_ptr(), rows, packed.size(1));
  return {kPackedFormatNames[static_cast<int>(header.format)], header.rows, header.columns};
}
Tensor ops::unpack_linear(const Tensor& packed, at::ScalarType dtype) { return call<UnpackLinearOp>(packed, dtype); }

}  // namespace wkv

WKV_REGISTER_OP_WITHOUT_GRADIENT(wkv::PackedLinearOp)
TORCH_LIBRARY_IMPL(wkv, Meta, m) { m.impl(wkv::PackLinearOp::kName, wkv::PackLinearOp::meta); }
