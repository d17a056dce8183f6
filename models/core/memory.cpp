#include "core/memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "wkv/error.h"

namespace wkv::models {

void require_memory(const std::string& what, const std::vector<int64_t>& sizes, at::ScalarType dtype,
                    const std::string& advice) {
  constexpr double kGibibyte = 1 << 30;
  double bytes = static_cast<double>(c10::elementSize(dtype));
  for (const int64_t size : sizes) bytes *= static_cast<double>(size);
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (bytes <= memory) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{} [{}] take {:.1f} GiB, and the machine has {:.1f} GiB: {}", what, fmt::join(sizes, ", "),
                          bytes / kGibibyte, memory / kGibibyte, advice));
}

}  // namespace wkv::models
