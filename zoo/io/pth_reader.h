// .pth, .pt and .bin files of torch.save: its zip container (torch >= 1.6) and the one before.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// Entries share the bytes, which `owner` keeps alive. Throws wkv::Error, beginning with `path`. checked: as of
// ZipReader::check.
TensorSource parse_pth(std::span<std::byte> bytes, const std::shared_ptr<void>& owner, const std::string& path,
                       const std::function<void(std::span<std::byte>)>& checked = {});
TensorSource parse_pth_legacy(std::span<std::byte> bytes, const std::shared_ptr<void>& owner, const std::string& path);

}  // namespace wkv::zoo
