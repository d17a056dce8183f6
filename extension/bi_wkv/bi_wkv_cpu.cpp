// bi_wkv and its backward on the CPU: checks, outputs, and the division of the work among threads. The arithmetic is in
// the *_isa files. A result does not depend on the number of threads: nor do the blocks of channels that tasks compute,
// and the order in which gradients of w and u are summed is that of the rows of the batch.
#include <algorithm>
#include <optional>

#include "bi_wkv/bi_wkv.h"
#include "bi_wkv/bi_wkv_check.h"
#include "core/parameter_sums.h"
#include "core/scratch.h"
#include "core/stable.h"

namespace wkv {
namespace {

// All of a short sequence is kept between the sweeps, in a core's second-level cache. Of a long one a chunk is kept,
// and the sweeps' sums are computed again from those at the chunk's ends; wider blocks then stream better.
constexpr int64_t kLongestKept = 512, kChunk = 64;  // tokens
constexpr int64_t kManyRows = 8;                    // of the batch: threads find work among wide blocks

struct BiWkvCall {
  Tensor w, u, k, v;
  BiWkvInputs inputs;
  const BiWkvKernels& kernels;

  // The arguments have been checked.
  BiWkvCall(const Tensor& w_, const Tensor& u_, const Tensor& k_, const Tensor& v_, int64_t compat_chunks)
      : w(as_contiguous(w_)),
        u(as_contiguous(u_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        inputs{.w = {w.const_data_ptr(), is_float(w)},
               .u = {u.const_data_ptr(), is_float(u)},
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .time = k.size(1),
               .channels = k.size(2),
               .compat_chunks = compat_chunks,
               .chunk = compat_chunks > 0 || k.size(1) <= kLongestKept ? k.size(1) : kChunk},
        kernels(bi_wkv_kernels().of[static_cast<int>(io_type(k))]) {}

  static bool is_float(const Tensor& x) { return x.scalar_type() == ScalarType::Float; }

  int64_t block_width(int64_t rows) const {
    if (inputs.time <= kLongestKept) return 64;
    if (inputs.compat_chunks > 0) return 16;  // which keeps all of the sequence
    return rows < kManyRows ? 64 : 192;
  }
  // Calls run(row, range, scratch) for `rows` rows of work and blocks of channels. Blocks may not depend on the number
  // of threads, because the inputs of a block decide how all of its channels are computed.
  template <class Run>
  void for_blocks(int64_t rows, int64_t (*scratch_bytes)(int64_t, int64_t, int64_t), const Run& run) const {
    constexpr int64_t kWorthwhile = 1 << 14;  // tokens times channels: some 20 microseconds
    const int64_t width = block_width(rows);
    const int64_t blocks = (inputs.channels + width - 1) / width, tasks = rows * blocks;
    if (tasks == 0 || inputs.time == 0) return;
    const int64_t grain = std::max<int64_t>(1, tasks * kWorthwhile / k.numel());
    parallel_for(0, tasks, grain, [&](int64_t first, int64_t last) {
      const Scratch scratch(scratch_bytes(inputs.time, inputs.chunk, std::min(width, inputs.channels)));
      for (int64_t task = first; task < last; ++task) {
        const int64_t begin = task % blocks * width;
        run(task / blocks, ChannelRange{begin, std::min(inputs.channels, begin + width)}, scratch.get());
      }
    });
  }
};

Tensor bi_wkv_cpu(Tensor w, Tensor u, Tensor k, Tensor v, int64_t compat_chunks) {
  check_bi_wkv("bi_wkv", w, u, k, v, compat_chunks);
  const BiWkvCall call(w, u, k, v, compat_chunks);
  Tensor y = new_empty(call.k, call.k.sizes());
  void* const outputs = y.mutable_data_ptr();
  call.for_blocks(k.size(0), call.kernels.forward_scratch, [&](int64_t row, ChannelRange range, void* scratch) {
    call.kernels.forward(call.inputs, {row, range}, outputs, scratch);
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> bi_wkv_backward_cpu(Tensor grad_y, Tensor w, Tensor u, Tensor k, Tensor v,
                                                               int64_t compat_chunks) {
  check_bi_wkv("_bi_wkv_backward", w, u, k, v, compat_chunks);
  check_bi_wkv_gradient("_bi_wkv_backward", grad_y, k);
  const BiWkvCall call(w, u, k, v, compat_chunks);
  grad_y = as_contiguous(grad_y);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_w = gradient_of(call.w), grad_u = gradient_of(call.u), grad_k = gradient_of(call.k),
         grad_v = gradient_of(call.v);

  const ParameterSums sums(call.k, k.size(0), 2, call.inputs.channels);
  const BiWkvGradients all{.y = grad_y.const_data_ptr(),
                           .k = grad_k.mutable_data_ptr(),
                           .v = grad_v.mutable_data_ptr(),
                           .w = nullptr,
                           .u = nullptr};
  call.for_blocks(sums.groups, call.kernels.backward_scratch, [&](int64_t group, ChannelRange range, void* scratch) {
    BiWkvGradients grad = all;
    grad.w = sums.at(0, group);
    grad.u = sums.at(1, group);
    for (int64_t row = sums.first(group); row < sums.first(group + 1); ++row) {
      call.kernels.backward(call.inputs, {row, range}, grad, scratch);
    }
  });
  const auto sum_groups = [&](int64_t parameter, const ParameterRow& like, const Tensor& gradient) {
    call.kernels.sum_gradients(sums.at(parameter, 0), sums.groups, call.inputs.channels, like.is_float,
                               gradient.mutable_data_ptr());
  };
  sum_groups(0, call.inputs.w, grad_w);
  sum_groups(1, call.inputs.u, grad_u);
  return {grad_w, grad_u, grad_k, grad_v};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("bi_wkv", TORCH_BOX(&wkv::bi_wkv_cpu));
  m.impl("_bi_wkv_backward", TORCH_BOX(&wkv::bi_wkv_backward_cpu));
}
