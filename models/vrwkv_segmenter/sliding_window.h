// Images larger than a model wants them: windows over them, whose results are averaged where they overlap.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

// Where windows of this size, `stride` apart, begin along a side; the last ends where the side does. A window that is
// larger than the side is cut to it.
WKV_API std::vector<int64_t> window_starts(int64_t side, int64_t window, int64_t stride);

// f of each window [B, C, h, w] of the images [B, C, H, W], put together to one [B, C', H, W]. f keeps a window's
// sides.
at::Tensor over_windows(const at::Tensor& images, int64_t window, int64_t stride,
                        const std::function<at::Tensor(const at::Tensor&)>& f);

}  // namespace wkv::models
