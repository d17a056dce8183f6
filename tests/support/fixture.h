// Golden tensors: a .safetensors file, its tensors by name, and its parts by prefix ("w.", "grad.", ...).
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "wkv/zoo/tensor_source.h"

namespace wkv::test {

class Fixture {
 public:
  explicit Fixture(const std::filesystem::path& path) {
    const zoo::TensorSource source = zoo::open_tensors(path);
    for (const zoo::TensorEntry& entry : source.entries) tensors_[entry.name] = zoo::as_tensor(entry);
  }
  const at::Tensor& operator[](const std::string& name) const { return tensors_.at(name); }
  bool has(const std::string& name) const { return tensors_.contains(name); }
  // The tensors whose names start with the prefix, without it.
  std::map<std::string, at::Tensor> with_prefix(const std::string& prefix) const {
    std::map<std::string, at::Tensor> result;
    for (const auto& [name, tensor] : tensors_) {
      if (name.starts_with(prefix)) result[name.substr(prefix.size())] = tensor;
    }
    return result;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

// A folder of its own for a test, removed with everything in it at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::random_device random;
    path_ =
        std::filesystem::temp_directory_path() / ("wkv-test-" + std::to_string(random()) + std::to_string(random()));
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// max |x - reference| / max |reference|
inline double relative_error(const at::Tensor& x, const at::Tensor& reference) {
  if (reference.numel() == 0) return 0;
  const at::Tensor r = reference.to(at::kDouble);
  return (x.to(at::kDouble) - r).abs().max().item<double>() / std::max(r.abs().max().item<double>(), 1e-30);
}

inline double absolute_error(const at::Tensor& x, const at::Tensor& reference) {
  return reference.numel() == 0 ? 0 : (x.to(at::kDouble) - reference.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace wkv::test
