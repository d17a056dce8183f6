// The schemas of all ops. Names with a leading underscore are internal: the backward of an op takes the gradients of
// its outputs, then its arguments, and returns the gradients of its floating-point arguments in their order; that of an
// argument which was not given is an empty tensor.
#include "core/cpu_features.h"
#include "core/stable.h"

namespace wkv {
namespace {

std::string version() { return WKV_VERSION; }
std::string cpu_isa_name() { return isa_name(cpu_isa()); }
std::string cuda_architectures() { return WKV_CUDA_BUILT_FOR; }

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY(wkv, m) {
  m.def(
      "wkv4(Tensor w, Tensor u, Tensor k, Tensor v, Tensor? state=None, *, Tensor? cu_seqlens=None) "
      "-> (Tensor y, Tensor state)");
  m.def(
      "_wkv4_backward(Tensor grad_y, Tensor grad_state, Tensor w, Tensor u, Tensor k, Tensor v, Tensor? state, "
      "Tensor? cu_seqlens) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def("wkv4_decode_(Tensor w, Tensor u, Tensor k, Tensor v, Tensor(a!) pool, Tensor slots) -> Tensor y");

  m.def(
      "wkv5(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor? state=None, *, Tensor? cu_seqlens=None, "
      "bool log_decay=False) -> (Tensor y, Tensor state)");
  m.def(
      "_wkv5_backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, "
      "Tensor? state, Tensor? cu_seqlens, bool log_decay) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def("wkv5_decode_(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor(a!) pool, Tensor slots) -> Tensor y");

  m.def(
      "wkv6(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor? state=None, *, Tensor? cu_seqlens=None, "
      "bool log_decay=False) -> (Tensor y, Tensor state)");
  m.def(
      "_wkv6_backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, "
      "Tensor? state, Tensor? cu_seqlens, bool log_decay) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def("wkv6_decode_(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor(a!) pool, Tensor slots) -> Tensor y");

  m.def(
      "wkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor? state=None, *, "
      "Tensor? cu_seqlens=None, bool log_decay=False) -> (Tensor y, Tensor state)");
  m.def(
      "_wkv7_backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, "
      "Tensor? state, Tensor? cu_seqlens, bool log_decay) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "wkv7_decode_(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor(a!) pool, Tensor slots) "
      "-> Tensor y");

  m.def("bi_wkv(Tensor w, Tensor u, Tensor k, Tensor v, *, int compat_chunks=0) -> Tensor");
  m.def(
      "_bi_wkv_backward(Tensor grad_y, Tensor w, Tensor u, Tensor k, Tensor v, int compat_chunks) "
      "-> (Tensor, Tensor, Tensor, Tensor)");

  m.def("bi_wkv6(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u) -> Tensor");
  m.def(
      "_bi_wkv6_backward(Tensor grad_y, Tensor r, Tensor k, Tensor v, Tensor w, Tensor u) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)");

  m.def(
      "q_shift(Tensor x, int height, int width, *, float gamma=0.25, int shift=1, int head_size=0, int cls_tokens=0) "
      "-> Tensor");
  m.def(
      "_q_shift_backward(Tensor grad_y, Tensor x, int height, int width, float gamma, int shift, int head_size, "
      "int cls_tokens) -> Tensor");

  m.def(
      "based_linear_attention(Tensor q, Tensor k, Tensor v, Tensor? kv_state=None, Tensor? k_state=None, *, "
      "bool normalize=True, float eps=1e-12, Tensor? cu_seqlens=None) -> (Tensor y, Tensor kv_state, Tensor k_state)");
  m.def(
      "_based_linear_attention_backward(Tensor grad_y, Tensor grad_kv_state, Tensor grad_k_state, Tensor q, Tensor k, "
      "Tensor v, Tensor? kv_state, Tensor? k_state, bool normalize, float eps, Tensor? cu_seqlens) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "_based_decode_(Tensor q, Tensor k, Tensor v, Tensor(a!) kv_pool, Tensor(b!) k_pool, Tensor slots) -> Tensor y");

  m.def(
      "sliding_window_attention(Tensor q, Tensor k, Tensor v, int keys_back, *, float? scale=None, "
      "Tensor? past_k=None, Tensor? past_v=None, Tensor? past_length=None, Tensor? cu_seqlens=None) "
      "-> (Tensor y, Tensor window_k, Tensor window_v)");
  m.def(
      "_sliding_window_attention_backward(Tensor grad_y, Tensor grad_window_k, Tensor grad_window_v, Tensor q, "
      "Tensor k, Tensor v, int keys_back, float? scale, Tensor? past_k, Tensor? past_v, Tensor? past_length, "
      "Tensor? cu_seqlens) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");

  m.def(
      "short_conv(Tensor x, Tensor weight, Tensor? bias=None, Tensor? state=None, *, bool silu=False, "
      "Tensor? cu_seqlens=None) -> (Tensor y, Tensor state)");
  m.def(
      "_short_conv_backward(Tensor grad_y, Tensor grad_state, Tensor x, Tensor weight, Tensor? bias, Tensor? state, "
      "bool silu, Tensor? cu_seqlens) -> (Tensor, Tensor, Tensor, Tensor)");

  m.def(
      "ms_deform_attn(Tensor value, Tensor spatial_shapes, Tensor level_start_index, Tensor sampling_locations, "
      "Tensor attention_weights) -> Tensor");
  m.def(
      "_ms_deform_attn_backward(Tensor grad_y, Tensor value, Tensor spatial_shapes, Tensor level_start_index, "
      "Tensor sampling_locations, Tensor attention_weights) -> (Tensor, Tensor, Tensor)");

  m.def(
      "_mix_tokens(Tensor x, Tensor last, Tensor mixes, Tensor? changes=None, *, Tensor? cu_seqlens=None) "
      "-> (Tensor mixed, Tensor last)");
  m.def(
      "__mix_tokens_backward(Tensor grad_mixed, Tensor grad_last, Tensor x, Tensor last, Tensor mixes, "
      "Tensor? changes, Tensor? cu_seqlens) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "_mix_neighbours(Tensor x, Tensor mixes, Tensor? changes=None, *, int height, int width, float gamma=0.25, "
      "int shift=1, int head_size=0, int cls_tokens=0) -> Tensor mixed");
  m.def(
      "__mix_neighbours_backward(Tensor grad_mixed, Tensor x, Tensor mixes, Tensor? changes, int height, int width, "
      "float gamma, int shift, int head_size, int cls_tokens) -> (Tensor, Tensor, Tensor)");
  m.def(
      "_gated_head_norm(Tensor x, Tensor weight, Tensor bias, Tensor gate, Tensor? r=None, Tensor? k=None, "
      "Tensor? v=None, Tensor? bonus=None, *, float eps, bool silu=False) -> Tensor");
  m.def(
      "__gated_head_norm_backward(Tensor grad_y, Tensor x, Tensor weight, Tensor bias, Tensor gate, Tensor? r, "
      "Tensor? k, Tensor? v, Tensor? bonus, float eps, bool silu) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "_wkv7_inputs(Tensor decay, Tensor rate, Tensor k, Tensor w0, Tensor a0, Tensor k_k, Tensor k_a, "
      "Tensor? v=None, Tensor? first_value=None, Tensor? residual=None, Tensor? v0=None) "
      "-> (Tensor w, Tensor k, Tensor a, Tensor b, Tensor v)");
  m.def(
      "__wkv7_inputs_backward(Tensor grad_w, Tensor grad_k, Tensor grad_a, Tensor grad_b, Tensor grad_v, Tensor decay, "
      "Tensor rate, Tensor k, Tensor w0, Tensor a0, Tensor k_k, Tensor k_a, Tensor? v, Tensor? first_value, "
      "Tensor? residual, Tensor? v0) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def("_squared_relu(Tensor x) -> Tensor");
  m.def("__squared_relu_backward(Tensor grad_y, Tensor x) -> Tensor");

  m.def("_thin_linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor");
  m.def("_pack_linear(Tensor weight, str format) -> Tensor");
  m.def("_unpack_linear(Tensor packed, ScalarType dtype=float) -> Tensor");
  m.def("_packed_linear(Tensor x, Tensor packed, Tensor? bias=None) -> Tensor");

  // The instruction set whose kernels run: portable, avx2 or avx512.
  m.def("_cpu_isa() -> str");
  // Those that the CUDA kernels were compiled for; empty: built without.
  m.def("_cuda_architectures() -> str");
  m.def("_version() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(wkv, CompositeExplicitAutograd, m) {
  m.impl("_cpu_isa", TORCH_BOX(&wkv::cpu_isa_name));
  m.impl("_cuda_architectures", TORCH_BOX(&wkv::cuda_architectures));
  m.impl("_version", TORCH_BOX(&wkv::version));
}
