// .pth files, as torch.save(state_dict) writes them: a zip archive with a pickle and the tensors' data.
#pragma once
#include <filesystem>
#include <vector>

#include "io/lazy_tensor.h"
#include "io/zip_writer.h"
#include "wkv/export.h"

namespace wkv::zoo {

// Whole or not at all, in this order; torch.load(path, weights_only=True) gives a dict of them, on the CPU. Throws
// wkv::Error. zip64_from: see ZipWriter.
WKV_API void write_pth(const std::filesystem::path& path, std::vector<LazyTensor> tensors,
                       uint64_t zip64_from = ZipWriter::kZip64From);

}  // namespace wkv::zoo
