// What this process holds of the machine's memory, in MiB, as Linux counts it: mapped files count where they are in
// use.
#pragma once
#include "wkv/export.h"

namespace wkv::zoo {

struct ProcessMemory {
  double resident = 0, peak = 0;  // now; the most since the start, or since forget_peak_memory()
};

WKV_API ProcessMemory process_memory();
WKV_API void forget_peak_memory();

}  // namespace wkv::zoo
