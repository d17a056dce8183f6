// What the checks of the ops ask of a tensor, without one: sizes, strides, a dtype, a device.
#pragma once
#include <torch/headeronly/core/DeviceType.h>
#include <torch/headeronly/core/Layout.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <vector>

namespace wkv::fuzz {

struct FakeDevice {
  torch::headeronly::DeviceType kind = torch::headeronly::DeviceType::CPU;
  int number = -1;

  torch::headeronly::DeviceType type() const { return kind; }
  int index() const { return number; }
  bool operator==(const FakeDevice&) const = default;
};

class FakeTensor {
 public:
  FakeTensor() = default;
  FakeTensor(std::vector<int64_t> sizes, torch::headeronly::ScalarType dtype, FakeDevice device)
      : sizes_(std::move(sizes)), strides_(sizes_.size()), dtype_(dtype), device_(device), defined_(true) {
    int64_t stride = 1;
    for (size_t i = sizes_.size(); i-- > 0; stride *= sizes_[i]) strides_[i] = stride;
  }

  bool defined() const { return defined_; }
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<int64_t>& strides() const { return strides_; }
  torch::headeronly::ScalarType scalar_type() const { return dtype_; }
  FakeDevice device() const { return device_; }
  torch::headeronly::Layout layout() const { return torch::headeronly::Layout::Strided; }

 private:
  std::vector<int64_t> sizes_, strides_;
  torch::headeronly::ScalarType dtype_ = torch::headeronly::ScalarType::Float;
  FakeDevice device_;
  bool defined_ = false;
};

}  // namespace wkv::fuzz
