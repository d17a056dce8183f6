#include "bench/memory.h"

#include <fstream>
#include <string>

namespace wkv::zoo {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key; status.ignore(1 << 16, '\n')) {  // "VmRSS:     1234 kB"
    double* const value = key == "VmRSS:" ? &memory.resident : key == "VmHWM:" ? &memory.peak : nullptr;
    if (value && status >> *value) *value /= 1024;
  }
  return memory;
}

void forget_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

}  // namespace wkv::zoo
