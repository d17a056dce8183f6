// Refusing what the machine can't hold, with the numbers, before the system ends the process for it.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

// The bytes that this process may still take: of the machine, or of its control group where that has less left.
WKV_API int64_t available_memory();

// Throws wkv::Error when so many bytes are not available. what: "model.pth: the parameters"; advice: what to do
// instead.
WKV_API void require_memory(const std::string& what, double bytes, const std::string& advice);
// The same for a tensor of these sizes, which the message names.
WKV_API void require_memory(const std::string& what, const std::vector<int64_t>& sizes, at::ScalarType dtype,
                            const std::string& advice);

}  // namespace wkv::models
