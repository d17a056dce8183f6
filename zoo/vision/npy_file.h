// NumPy's .npy files: a magic word, a header that is a Python dictionary, the numbers.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>

#include "io/atomic_file.h"

namespace wkv::zoo {

// fp32 [n, C], contiguous, as format 1.0, '<f4'.
void write_npy(AtomicFile& file, const at::Tensor& matrix);

// An array of '<f2', '<f4' or '<f8', of any number of dimensions, in C order. Throws wkv::Error for another, and for a
// file that is not whole.
at::Tensor load_npy(const std::filesystem::path& path);

}  // namespace wkv::zoo
