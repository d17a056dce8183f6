// Refusing what the machine can't hold, with the numbers, before the system ends the process for it.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace wkv::models {

// Throws wkv::Error when a tensor of these sizes takes more than the machine's physical memory. what: "rwkv7: the
// logits"; advice: what to do instead.
void require_memory(const std::string& what, const std::vector<int64_t>& sizes, at::ScalarType dtype,
                    const std::string& advice);

}  // namespace wkv::models
