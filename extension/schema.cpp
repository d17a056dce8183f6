// The schemas of all ops. Names with a leading underscore are internal.
#include "core/cpu_features.h"
#include "core/stable.h"

namespace wkv {
namespace {

std::string cpu_isa_name() { return isa_name(cpu_isa()); }

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY(wkv, m) {
  m.def(
      "wkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor? state=None, *, "
      "Tensor? cu_seqlens=None, bool log_decay=False) -> (Tensor y, Tensor state)");
  // The gradients of r, w, k, v, a, b and of the state before (zeros, where none was given).
  m.def(
      "_wkv7_backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, "
      "Tensor? state, Tensor? cu_seqlens, bool log_decay) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  // The instruction set whose kernels run: portable, avx2 or avx512.
  m.def("_cpu_isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(wkv, CompositeExplicitAutograd, m) { m.impl("_cpu_isa", TORCH_BOX(&wkv::cpu_isa_name)); }
