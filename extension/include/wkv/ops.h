// The ops, typed, through the dispatcher: what torch.ops.wkv.* is in Python.
//
// B batch, T time, C channels, H heads, N key size, M value size. Sequences are fp32, bf16, fp16, or on the CPU fp64;
// states and accumulation are fp32 (fp64 for fp64 sequences). Outputs have the dtype of k (x) and are new tensors, the
// state given is never written (but by the ops that end in _). Every output is differentiable in every floating-point
// input, once. cu_seqlens, int32 or int64 [S + 1] from 0 to T, packs S sequences along T (B = 1): each starts from its
// own row of the state and none sees another. Bad arguments throw std::runtime_error that names the op and the
// argument.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <tuple>

#include "wkv/export.h"

namespace wkv::ops {

// WKV-4, the recurrence of RWKV-4 (arXiv 2305.13048, equations 16-18) for each channel, with the decay
// d = exp(-exp(w)):
//   y_t = (sum_{s<t} d^(t-1-s) e^(k_s) v_s + e^(u + k_t) v_t) / (the same without v)
// w, u: [C]; k, v: [B, T, C]; state: [B, 3, C], rows aa, bb, pp: numerator and denominator relative to e^pp, the
// running maximum; none: empty (pp = -1e38). Returns y [B, T, C] and the final state.
WKV_API std::tuple<at::Tensor, at::Tensor> wkv4(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k,
                                                const at::Tensor& v,
                                                const std::optional<at::Tensor>& state = std::nullopt,
                                                const std::optional<at::Tensor>& cu_seqlens = std::nullopt);

// WKV-5, the recurrence of RWKV-5 (arXiv 2404.05892, equations 11-14), for a state S [value, key] of each head:
//   y_t = S_{t-1} r_t + (r_t . (u * k_t)) v_t,   S_t = S_{t-1} diag(d) + v_t k_t^T,   d = exp(-exp(w)) (log_decay:
//   exp(w))
// r, k: [B, T, H, N]; v: [B, T, H, M]; w, u: [H, N]; state: [B, H, M, N], none: zeros.
// Returns y [B, T, H, M] and the final state.
WKV_API std::tuple<at::Tensor, at::Tensor> wkv5(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                                const at::Tensor& w, const at::Tensor& u,
                                                const std::optional<at::Tensor>& state = std::nullopt,
                                                const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
                                                bool log_decay = false);

// WKV-6, the recurrence of RWKV-6 (arXiv 2404.05892, equations 19-20): WKV-5 with a decay of each token, w [B, T, H,
// N].
WKV_API std::tuple<at::Tensor, at::Tensor> wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v,
                                                const at::Tensor& w, const at::Tensor& u,
                                                const std::optional<at::Tensor>& state = std::nullopt,
                                                const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
                                                bool log_decay = false);

// WKV-7, the state update of RWKV-7 (arXiv 2503.14456, equations 16-18), for a state S [value, key] of each head:
//   S_t = S_{t-1} (diag(d_t) + a_t b_t^T) + v_t k_t^T,   y_t = S_t r_t,   d_t = exp(-exp(w_t))  (log_decay: d_t =
//   exp(w_t)).
// r, w, k, a, b: [B, T, H, N]; v: [B, T, H, M]; state: [B, H, M, N], none: zeros.
// Returns y [B, T, H, M] and the final state.
WKV_API std::tuple<at::Tensor, at::Tensor> wkv7(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k,
                                                const at::Tensor& v, const at::Tensor& a, const at::Tensor& b,
                                                const std::optional<at::Tensor>& state = std::nullopt,
                                                const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
                                                bool log_decay = false);

// One step of wkv4, 5, 6, 7 for serving: row i of the batch reads and writes pool[slots[i]] in place. The tensors are
// the op's without time; pool [P, ...] of states; slots int64 [B], distinct, 0 to P - 1. No gradient. Returns y.
WKV_API at::Tensor wkv4_decode_(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k, const at::Tensor& v,
                                at::Tensor& pool, const at::Tensor& slots);
WKV_API at::Tensor wkv5_decode_(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                                const at::Tensor& u, at::Tensor& pool, const at::Tensor& slots);
WKV_API at::Tensor wkv6_decode_(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                                const at::Tensor& u, at::Tensor& pool, const at::Tensor& slots);
WKV_API at::Tensor wkv7_decode_(const at::Tensor& r, const at::Tensor& w, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& a, const at::Tensor& b, at::Tensor& pool, const at::Tensor& slots);

// Bidirectional WKV of Vision-RWKV (arXiv 2403.02308, equation 4) for each channel:
//   y_t = (sum_{i != t} e^(k_i - w (|t - i| - 1)) v_i + e^(k_t + u) v_t) / (the same without v)
// w, u: [C], of either sign, already divided by T; k, v: [B, T, C]. Returns y [B, T, C]. compat_chunks 16 or 32 gives
// the numbers and gradients of the published kernels with so many chunks instead, which differ from the equation.
WKV_API at::Tensor bi_wkv(const at::Tensor& w, const at::Tensor& u, const at::Tensor& k, const at::Tensor& v,
                          int64_t compat_chunks = 0);

// Bidirectional WKV-6 of VRWKV6 and RWKV-CLIP: WKV-6 from the left and, over the tokens after t, from the right; the
// term of u counts once:
//   y_t = sum_{i != t} (r_t . (k_i * prod of d_l for l strictly between t and i)) v_i + (r_t . (u * k_t)) v_t
// r, k, w: [B, T, H, N]; v: [B, T, H, M]; u: [H, N]. Returns y [B, T, H, M].
WKV_API at::Tensor bi_wkv6(const at::Tensor& r, const at::Tensor& k, const at::Tensor& v, const at::Tensor& w,
                           const at::Tensor& u);

// Quad-directional shift of Vision-RWKV (arXiv 2403.02308, section 3.3): x [B, height * width + cls_tokens, C]; channel
// group i = 0..3, [int(C gamma i), int(C gamma (i + 1))), takes its value from the left, right, upper, lower neighbour
// at the distance `shift`, zero outside; the other channels and the class tokens (the last) are copied. With head_size
// > 0 the groups are taken within each head. gamma is up to 1/2: above 1/4 the last groups get what is left, at 1/2
// there are left and right neighbours only.
WKV_API at::Tensor q_shift(const at::Tensor& x, int64_t height, int64_t width, double gamma = 0.25, int64_t shift = 1,
                           int64_t head_size = 0, int64_t cls_tokens = 0);

// Linear attention of BASED (arXiv 2402.18668): the Taylor feature map phi of the second order, phi(q) . phi(k) =
// 1 + s + s^2 / 2 with s = q . k / sqrt(d):
//   y_t = sum_{s <= t} (phi(q_t) . phi(k_s)) v_s / (sum_{s <= t} phi(q_t) . phi(k_s) + eps)
// q, k: [B, T, H, d], d up to 64; v: [B, T, H, dv], dv up to 256; kv_state [B, H, dv, D], the sum of v phi(k)^T, and
// k_state [B, H, D], that of phi(k), with the D = 1 + d + d^2 features 1, x_i / d^(1/4), x_i x_j / sqrt(2 d) in this
// order; none, each by itself: zeros. normalize = false leaves the division out. Returns y [B, T, H, dv] and the final
// states.
WKV_API std::tuple<at::Tensor, at::Tensor, at::Tensor> based_linear_attention(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
    const std::optional<at::Tensor>& kv_state = std::nullopt, const std::optional<at::Tensor>& k_state = std::nullopt,
    bool normalize = true, double eps = 1e-12, const std::optional<at::Tensor>& cu_seqlens = std::nullopt);

// One step of it for serving, internal (torch.ops.wkv._based_decode_): q, k [B, H, d], v [B, H, dv]; row i of the batch
// reads and writes kv_pool[slots[i]], [P, H, F, dv], and k_pool[slots[i]], [P, H, F], in place. Their rows are the F =
// 1
// + d + d (d + 1) / 2 distinct features: of x_i x_j and x_j x_i, which are equal, those with i <= j. No gradient.
// Returns y.
WKV_API at::Tensor based_decode_(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::Tensor& kv_pool,
                                 at::Tensor& k_pool, const at::Tensor& slots);

// Softmax attention in which query i sees the keys i - keys_back, ..., i. q, k, v: [B, T, H, D], keys already rotated;
// scale: none: D^-0.5; past_k, past_v [B, P, H, D]: what came before, newest last, of which the last past_length[b]
// (int64 [B], with cu_seqlens [S]; none: all) are real; the others may hold anything. Returns y and the last
// keys_back + 1 keys and values, oldest first, to be the next call's past: [B, min(keys_back + 1, P + T), H, D], with
// cu_seqlens [S, keys_back + 1, H, D]. Where fewer are real, zeros stand on the left: the next call's past_length is
// min(keys_back + 1, past_length + T).
WKV_API std::tuple<at::Tensor, at::Tensor, at::Tensor> sliding_window_attention(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t keys_back,
    std::optional<double> scale = std::nullopt, const std::optional<at::Tensor>& past_k = std::nullopt,
    const std::optional<at::Tensor>& past_v = std::nullopt, const std::optional<at::Tensor>& past_length = std::nullopt,
    const std::optional<at::Tensor>& cu_seqlens = std::nullopt);

// Causal depthwise convolution over few tokens: y_t = sum_j weight_j x_{t - (K - 1) + j} + bias, then silu if wanted.
// x: [B, T, C]; weight [C, 1, K], K up to 64, and bias [C], fp32 or of the dtype of x; state [B, C, K]: the last K
// inputs, newest last, none: zeros.
// Returns y [B, T, C] and the final state.
WKV_API std::tuple<at::Tensor, at::Tensor> short_conv(const at::Tensor& x, const at::Tensor& weight,
                                                      const std::optional<at::Tensor>& bias = std::nullopt,
                                                      const std::optional<at::Tensor>& state = std::nullopt,
                                                      bool silu = false,
                                                      const std::optional<at::Tensor>& cu_seqlens = std::nullopt);

// Multi-scale deformable attention (arXiv 2010.04159, equation 3): the weighted sum of bilinear samples.
// value [B, S, M, D]: L maps one after the other; spatial_shapes int64 [L, 2] (height, width); level_start_index int64
// [L]; sampling_locations [B, Q, M, L, P, 2] (x, y in 0..1, align_corners = false, zeros outside); attention_weights
// [B, Q, M, L, P]. Returns [B, Q, M * D].
WKV_API at::Tensor ms_deform_attn(const at::Tensor& value, const at::Tensor& spatial_shapes,
                                  const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                                  const at::Tensor& attention_weights);

// Tokens mixed with their predecessors, in several ways at once, as the RWKV models do; internal
// (torch.ops.wkv._mix_tokens): mixed[m]_t = x_t + (x_{t-1} - x_t) (mixes[m] + changes[m]_t). x: [B, T, C]; last: [B, C]
// (with cu_seqlens [S, C]), what came before each sequence; mixes: [M, C], up to 8 rows, fp32 or of the dtype of x as
// the others; changes: [M, B, T, C], none: zeros. Returns mixed [M, B, T, C] and the last tokens.
WKV_API std::tuple<at::Tensor, at::Tensor> mix_tokens(const at::Tensor& x, const at::Tensor& last,
                                                      const at::Tensor& mixes,
                                                      const std::optional<at::Tensor>& changes = std::nullopt,
                                                      const std::optional<at::Tensor>& cu_seqlens = std::nullopt);
// Each head's values normalised by themselves, with a gate; internal (torch.ops.wkv._gated_head_norm):
//   (normalised x * weight + bias + (sum_i r_i k_i bonus_i) v) * gate,   without a bonus: * silu(gate) where silu is
//   set
// x: [B, T, H, N], N up to 256, fp32 or of the dtype of gate; gate, r, k, v: [B, T, H, N] of one dtype; weight, bias,
// bonus: [H, N], of that or fp32. Returns [B, T, H, N] of the dtype of gate.
WKV_API at::Tensor gated_head_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                   const at::Tensor& gate, double eps, bool silu);
WKV_API at::Tensor gated_head_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                   const at::Tensor& gate, const at::Tensor& r, const at::Tensor& k,
                                   const at::Tensor& v, const at::Tensor& bonus, double eps);
// What RWKV-7 makes of its products before wkv7 (arXiv 2503.14456, equations 3 to 8); internal
// (torch.ops.wkv._wkv7_inputs):
//   w = -e^(-1/2) sigmoid(w0 + decay), for wkv7 with log_decay;  v' = v + (first_value - v) sigmoid(v0 + residual);
//   a = -n,  b = n s,  k' = k (1 + (s - 1) k_a)   with s = sigmoid(a0 + rate), n = k k_k / max(|k k_k|, 1e-12)
// decay, rate, k, v, first_value, residual: [B, T, H, N] of one dtype, N up to 256; w0, a0, k_k, k_a, v0: [H, N], of
// that or fp32. Returns [B, T, H, N] of the dtype of k, but w of fp32 (fp64 for fp64). Without v, the v returned is
// empty.
using Wkv7Inputs = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;  // w, k, a, b, v
WKV_API Wkv7Inputs wkv7_inputs(const at::Tensor& decay, const at::Tensor& rate, const at::Tensor& k,
                               const at::Tensor& w0, const at::Tensor& a0, const at::Tensor& k_k,
                               const at::Tensor& k_a);
WKV_API Wkv7Inputs wkv7_inputs(const at::Tensor& decay, const at::Tensor& rate, const at::Tensor& k,
                               const at::Tensor& w0, const at::Tensor& a0, const at::Tensor& k_k, const at::Tensor& k_a,
                               const at::Tensor& v, const at::Tensor& first_value, const at::Tensor& residual,
                               const at::Tensor& v0);
// max(x, 0)^2 for each element; internal (torch.ops.wkv._squared_relu).
WKV_API at::Tensor squared_relu(const at::Tensor& x);

// The product of few rows x [..., K] with a matrix [N, K], transposed, plus bias [N], as at::linear gives it, but at
// the bandwidth of the memory; internal (torch.ops.wkv._thin_linear). x, weight: fp32, bf16 or fp16 each; bias: fp32 or
// of the dtype of x; summed in fp32. Any number of rows; for many, a matrix product is faster. No gradient.
WKV_API at::Tensor thin_linear(const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias = std::nullopt);

// A weight matrix [N, K], fp32, bf16 or fp16, quantised; internal (torch.ops.wkv._pack_linear ...). format: "int8" has
// a scale for each row, "int4" (4.5 bits a weight) one for each 32 columns. Returns a uint8 tensor [N + 1, bytes of a
// row], which says itself what it holds.
WKV_API at::Tensor pack_linear(const at::Tensor& weight, const std::string& format);
// As thin_linear, with a packed matrix. On the CPU x is rounded to 8 bits, with a scale for every 32 columns. On CUDA
// it is not, and a matrix that pack_linear has not made gives NaN where the CPU refuses it.
WKV_API at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed,
                                 const std::optional<at::Tensor>& bias = std::nullopt);
// What it says of itself; throws std::exception for a tensor that pack_linear has not made.
struct PackedMatrix {
  std::string format;
  int64_t rows, columns;
};
WKV_API PackedMatrix packed_matrix(const at::Tensor& packed);
// What it holds, [N, K] of dtype fp32, bf16 or fp16.
WKV_API at::Tensor unpack_linear(const at::Tensor& packed, at::ScalarType dtype = at::kFloat);

}  // namespace wkv::ops
