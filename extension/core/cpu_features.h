// Which of the instruction sets that the kernels were compiled for this process uses.
#pragma once

namespace wkv {

enum class Isa { kPortable, kAvx2, kAvx512 };

// The best one that the machine has, or the one that the environment variable WKV_CPU_ISA names (portable, avx2,
// avx512). Throws when that is unknown or beyond the machine.
Isa cpu_isa();
const char* isa_name(Isa isa);

// WKV_ISA_TABLE(Type, name): `const Type& name()` gives the object `name` of the namespace of cpu_isa(); an *_isa.cpp
// file defines it as `extern const Type name` in namespace wkv::WKV_ISA. To be used in namespace wkv.
#ifdef WKV_HAVE_ISA_avx512
#define WKV_ISA_TABLE(Type, name)                                                                \
  namespace portable {                                                                           \
  extern const Type name;                                                                        \
  }                                                                                              \
  namespace avx2 {                                                                               \
  extern const Type name;                                                                        \
  }                                                                                              \
  namespace avx512 {                                                                             \
  extern const Type name;                                                                        \
  }                                                                                              \
  inline const Type& name() {                                                                    \
    const Isa isa = cpu_isa();                                                                   \
    return isa == Isa::kAvx512 ? avx512::name : isa == Isa::kAvx2 ? avx2::name : portable::name; \
  }
#else
#define WKV_ISA_TABLE(Type, name) \
  namespace portable {            \
  extern const Type name;         \
  }                               \
  inline const Type& name() { return portable::name; }
#endif

}  // namespace wkv
