// The checks that ops share, for the stable Tensor (kernels) and for at::Tensor with symbolic sizes (meta): a kernel
// and its meta function refuse the same calls with the same words. Messages name the op, the argument, the expected,
// the found.
#pragma once
#include <torch/headeronly/core/DeviceType.h>
#include <torch/headeronly/core/Layout.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace wkv {

using torch::headeronly::DeviceType;
using torch::headeronly::ScalarType;

// Throws std::runtime_error (in Python RuntimeError) with the parts as its text.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

// int64_t sizes, or SymInt where the tensor has them: a view of those of the tensor, and a vector.
template <class Tensor>
auto size_view_of(const Tensor& tensor) {
  if constexpr (requires { tensor.sym_sizes(); }) {
    return tensor.sym_sizes();
  } else {
    return tensor.sizes();
  }
}
template <class Tensor>
auto sizes_of(const Tensor& tensor) {
  const auto sizes = size_view_of(tensor);
  return std::vector(sizes.begin(), sizes.end());
}
template <class Tensor>
auto strides_of(const Tensor& tensor) {
  if constexpr (requires { tensor.sym_strides(); }) {
    return tensor.sym_strides().vec();
  } else {
    return std::vector<int64_t>(tensor.strides().begin(), tensor.strides().end());
  }
}
template <class Tensor>
using SizesOf = decltype(sizes_of(std::declval<const Tensor&>()));

template <class Sizes>
std::string to_text(const Sizes& sizes) {
  std::ostringstream text;
  text << '[';
  for (size_t i = 0; i < sizes.size(); ++i) text << (i ? ", " : "") << sizes[i];
  text << ']';
  return text.str();
}

template <class Device>
std::string device_text(const Device& device) {
  switch (device.type()) {
    case DeviceType::CPU:
      return "cpu";
    case DeviceType::CUDA:
      return "cuda:" + std::to_string(static_cast<int>(device.index()));
    case DeviceType::Meta:
      return "meta";
    default:
      return "device type " + std::to_string(static_cast<int>(device.type()));
  }
}

// The checks of one call of one op.
template <class Tensor>
struct Check {
  const char* op;

  void dimensions(const char* name, const Tensor& tensor, const char* letters, size_t count) const {
    if (!tensor.defined()) fail(op, ": ", name, " must be a tensor, got None");
    if (size_view_of(tensor).size() != count) {
      fail(op, ": ", name, " must have the ", count, " dimensions ", letters, ", got shape ",
           to_text(sizes_of(tensor)));
    }
    if (tensor.layout() != torch::headeronly::Layout::Strided)
      fail(op, ": ", name, " must be a dense (strided) tensor");
  }

  void shape(const char* name, const Tensor& tensor, const char* letters, const SizesOf<Tensor>& expected) const {
    dimensions(name, tensor, letters, expected.size());
    const auto found = size_view_of(tensor);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (found[i] != expected[i]) {
        fail(op, ": ", name, " must have shape ", letters, " = ", to_text(expected), ", got ", to_text(found));
      }
    }
  }

  void dtype(const char* name, const Tensor& tensor, std::initializer_list<ScalarType> allowed) const {
    std::string names;
    for (const ScalarType type : allowed) {
      if (tensor.scalar_type() == type) return;
      names += (names.empty() ? "" : " or ") + std::string(torch::headeronly::toString(type));
    }
    fail(op, ": ", name, " must have dtype ", names, ", got ", torch::headeronly::toString(tensor.scalar_type()));
  }

  // Parameters may stay in fp32 whatever the dtype of the sequences.
  void parameter_dtype(const char* name, const Tensor& tensor, ScalarType of_sequences) const {
    if (of_sequences == ScalarType::Float) {
      dtype(name, tensor, {ScalarType::Float});
    } else {
      dtype(name, tensor, {of_sequences, ScalarType::Float});
    }
  }

  void same_device(const char* name, const Tensor& tensor, const char* other_name, const Tensor& other) const {
    if (tensor.device() != other.device()) {
      fail(op, ": ", name, " must be on ", device_text(other.device()), " as ", other_name, " is, got ",
           device_text(tensor.device()));
    }
  }

  // cu_seqlens packs sequences along the time of one batch row; it may be on the CPU whatever the others are on.
  void cu_seqlens(const Tensor& tensor, const char* other_name, const Tensor& other) const {
    dimensions("cu_seqlens", tensor, "[S + 1]", 1);
    if (sizes_of(tensor)[0] < 1) fail(op, ": cu_seqlens must have at least one entry, got shape [0]");
    dtype("cu_seqlens", tensor, {ScalarType::Int, ScalarType::Long});
    if (tensor.device().type() != DeviceType::CPU) same_device("cu_seqlens", tensor, other_name, other);
    if (sizes_of(other)[0] != 1) {
      fail(op, ": with cu_seqlens the batch must be 1, got ", other_name, " of shape ", to_text(sizes_of(other)));
    }
  }
};

}  // namespace wkv
