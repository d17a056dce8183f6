// The parts of an RWKV-7 block for many tokens on CUDA.
#include <algorithm>

#include "decode_step/decode_launches.h"
#include "rwkv7_blocks/prompt.cuh"
#include "rwkv7_blocks/rwkv7_blocks_cuda.h"

namespace wkv::cuda {
namespace {

int64_t blocks_of(int64_t tasks, int64_t of_block) { return (tasks + of_block - 1) / of_block; }

}  // namespace

void rwkv7_mix(const rwkv7::Mix& in) {
  const Device device;
  const int64_t tokens = in.sequences * in.length;
  const Tensor normals = device.memory(tokens * static_cast<int64_t>(sizeof(Normal)));
  Rwkv7Mixing mixing = {.length = in.length,
                        .width = in.width,
                        .x = in.x,
                        .normals = data<Normal>(normals),
                        .norm_weight = in.norm_weight,
                        .norm_bias = in.norm_bias,
                        .before = in.before,
                        .after = in.after,
                        .count = in.count};
  std::copy_n(in.mixes, in.count, mixing.mixes);
  std::copy_n(in.mixed, in.count, mixing.mixed);
  for_parameter_type(in.type, [&](auto p) {
    using P = decltype(p);
    device.launch(rwkv7_add_kernel<P>, tokens, kPromptThreads, row_shared_bytes(in.width), in.width, in.x,
                  static_cast<const P*>(in.added), static_cast<const P*>(in.added ? in.added_bias : nullptr),
                  kLayerNormEps, data<Normal>(normals));
    device.launch(rwkv7_mix_kernel<P>,
                  in.sequences * blocks_of(in.length, kMixRun) * blocks_of(in.width, kPromptThreads), kPromptThreads, 0,
                  mixing);
  });
}

void rwkv7_prepare(const rwkv7::Prepare& in) {
  const Device device;
  const Rwkv7Preparing preparing = {
      .tokens = in.tokens,
      .heads = in.heads,
      .head_size = static_cast<int>(in.head_size),
      .parameters = {.w0 = in.w0, .a0 = in.a0, .v0 = in.residual ? in.v0 : nullptr, .k_k = in.k_k, .k_a = in.k_a},
      .decay = in.decay,
      .rate = in.rate,
      .residual = in.residual,
      .first_value = in.first_value,
      .w = in.w,
      .k = in.k,
      .v = in.v,
      .a = in.a,
      .b = in.b};
  for_parameter_type(in.type, [&](auto p) {
    for_head_size(in.head_size, [&](auto size) {
      device.launch(rwkv7_prepare_kernel<decltype(p), size()>, blocks_of(in.tokens * in.heads, kPromptWarps),
                    kPromptThreads, 0, preparing);
    });
  });
}

void rwkv7_finish(const rwkv7::Finish& in) {
  const Device device;
  const Rwkv7Finishing finishing = {
      .tokens = in.tokens,
      .heads = in.heads,
      .head_size = static_cast<int>(in.head_size),
      .eps = in.eps,
      .parameters = {.ln_x_weight = in.ln_x_weight, .ln_x_bias = in.ln_x_bias, .r_k = in.r_k},
      .y = in.y,
      .r = in.r,
      .k = in.k,
      .v = in.v,
      .gate = in.gate,
      .gated = in.gated};
  for_parameter_type(in.type, [&](auto p) {
    for_head_size(in.head_size, [&](auto size) {
      device.launch(rwkv7_finish_kernel<decltype(p), size()>, blocks_of(in.tokens * in.heads, kPromptWarps),
                    kPromptThreads, 0, finishing);
    });
  });
}

void rwkv7_square_relu(ParameterType type, void* x, int64_t count) {
  const Device device;
  for_parameter_type(type, [&](auto p) {
    using P = decltype(p);
    device.launch(rwkv7_square_relu_kernel<P>, blocks_of(count, kPromptThreads), kPromptThreads, 0, static_cast<P*>(x),
                  count);
  });
}

}  // namespace wkv::cuda
