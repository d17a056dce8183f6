// .pth, .pt and .bin files of torch.save: its zip container (torch >= 1.6) and the one before.
#pragma once
#include <memory>

#include "io/mapped_file.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

TensorSource read_pth(const std::shared_ptr<MappedFile>& file);
TensorSource read_pth_legacy(const std::shared_ptr<MappedFile>& file);

}  // namespace wkv::zoo
