// Which instruction set the kernels use; see cpu_features.h.
#include "core/cpu_features.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace wkv {
namespace {

bool machine_has(Isa isa) {
#ifdef WKV_HAVE_ISA_avx512
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    case Isa::kAvx512:
      return machine_has(Isa::kAvx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return isa == Isa::kPortable;
}

Isa choose_isa() {
  const char* wish = std::getenv("WKV_CPU_ISA");
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2, Isa::kPortable}) {
    if (wish && std::string(wish) != isa_name(isa)) continue;
    if (machine_has(isa)) return isa;
    if (wish)
      throw std::runtime_error(std::string("WKV_CPU_ISA=") + wish +
                               ": this machine, or this build of libwkv, does not have it");
  }
  throw std::runtime_error(std::string("WKV_CPU_ISA must be portable, avx2 or avx512, got \"") + wish + "\"");
}

}  // namespace

Isa cpu_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

const char* isa_name(Isa isa) { return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "portable"; }

}  // namespace wkv
