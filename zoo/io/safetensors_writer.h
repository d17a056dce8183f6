// .safetensors files of tensors that are made one by one; write_safetensors of wkv/zoo/tensor_source.h is for those
// that are there already.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/lazy_tensor.h"

namespace wkv::zoo {

// Whole or not at all. Throws wkv::Error.
void write_safetensors(const std::filesystem::path& path, std::vector<LazyTensor> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace wkv::zoo
