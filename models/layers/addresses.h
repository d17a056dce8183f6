// The addresses of a model's tensors for kernels on raw pointers, and whether each tensor is what such a kernel reads.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "layers/linear.h"
#include "wkv/decode_matrix.h"
#include "wkv/models/state.h"

namespace wkv::models {

// None for dtypes that the kernels don't know.
inline std::optional<ParameterType> parameter_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ParameterType::kFloat;
    case at::kBFloat16:
      return ParameterType::kBFloat16;
    case at::kHalf:
      return ParameterType::kHalf;
    default:
      return std::nullopt;
  }
}

inline DeviceKind kind_of(const at::Device& device) { return device.is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu; }

class Addresses {
 public:
  // Of tensors that lie where x does, and parameters of its dtype.
  explicit Addresses(const at::Tensor& x) : dtype_(x.scalar_type()), device_(x.device()) {
    require(device_.is_cpu() || device_.is_cuda());
  }

  // A parameter of the dtype; null for one that is not defined.
  const void* parameter(const at::Tensor& tensor) { return tensor.defined() ? check(tensor, dtype_) : nullptr; }
  // Of a matrix of the dtype, or quantised; without bias or adapter.
  DecodeMatrix matrix(const Linear& linear) {
    const at::Tensor& weight = linear.weight;
    require(!linear.bias.defined() && !linear.adapted());
    if (linear.quantized()) return {check(weight, at::kByte), linear.outputs(), linear.inputs(), weight.size(1)};
    return {parameter(weight), weight.size(0), weight.size(1)};
  }
  // Of a layer's entries in a pool, [P, ...]: the shift of its time mix, its recurrence, the shift of its channel mix.
  DecodeStates states(const State::Entry* entries) {
    const at::Tensor &att_shift = entries[0].tensor, &wkv = entries[1].tensor, &ffn_shift = entries[2].tensor;
    return {.slots = wkv.size(0),
            .att_shift = rows(att_shift, dtype_),
            .ffn_shift = rows(ffn_shift, dtype_),
            .wkv = static_cast<float*>(rows(wkv, at::kFloat)),
            .att_shift_stride = att_shift.stride(0),
            .ffn_shift_stride = ffn_shift.stride(0),
            .wkv_stride = wkv.stride(0)};
  }
  void require(bool condition) { all_serve_ = all_serve_ && condition; }

  bool all_serve() const { return all_serve_; }

 private:
  // Each row is contiguous.
  void* rows(const at::Tensor& entry, at::ScalarType dtype) {
    require(entry.device() == device_ && entry.scalar_type() == dtype && entry.select(0, 0).is_contiguous());
    return entry.mutable_data_ptr();
  }
  const void* check(const at::Tensor& tensor, at::ScalarType dtype) {
    require(tensor.device() == device_ && tensor.is_contiguous() && tensor.scalar_type() == dtype);
    return tensor.const_data_ptr();
  }

  at::ScalarType dtype_;
  at::Device device_;
  bool all_serve_ = true;
};

// x [B, 1, C] through step(slots, B, x in fp32), which changes it in place; in its own dtype again.
template <class Step>
at::Tensor step_rows(const at::Tensor& x, const at::Tensor& slots, const Step& step) {
  const at::Tensor values = x.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous(),
                   rows = slots.to(at::kLong).contiguous();
  step(rows.const_data_ptr<int64_t>(), values.size(0), values.mutable_data_ptr<float>());
  return values.to(x.scalar_type());
}

}  // namespace wkv::models
