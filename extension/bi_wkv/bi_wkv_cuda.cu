// bi_wkv and its backward on CUDA.
#include "bi_wkv/bi_wkv_backward_kernels.cuh"
#include "bi_wkv/bi_wkv_check.h"
#include "bi_wkv/bi_wkv_compat_kernels.cuh"
#include "bi_wkv/bi_wkv_kernels.cuh"
#include "core/cuda/launch.h"

namespace wkv::cuda {
namespace {

int64_t divided(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }

struct BiWkvCall {
  Device device;
  Tensor w, u, k, v;
  BiWkvInputs inputs;
  int64_t rows, warps, compat_chunks;

  // The arguments have been checked.
  BiWkvCall(const Tensor& w_, const Tensor& u_, const Tensor& k_, const Tensor& v_, int64_t compat_chunks_,
            int64_t most_warps)
      : device(k_),
        w(as_contiguous(w_)),
        u(as_contiguous(u_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        rows(k.size(0)),
        compat_chunks(compat_chunks_) {
    // As few spans as can be, all of the same size; where more are wished for, some sixteen.
    const int64_t threads = std::max<int64_t>(1, divided(k.size(1), kBiWkvTokens));
    if (wished_form() == Form::kChunked) most_warps = std::clamp<int64_t>(threads / 16, 1, most_warps);
    const int64_t spans = divided(threads, most_warps);
    warps = divided(threads, spans);
    inputs = {.w = {w.const_data_ptr(), is_float(w)},
              .u = {u.const_data_ptr(), is_float(u)},
              .k = k.const_data_ptr(),
              .v = v.const_data_ptr(),
              .time = k.size(1),
              .channels = k.size(2),
              .spans = spans,
              .span_length = warps * kBiWkvTokens};
  }

  static bool is_float(const Tensor& x) { return x.scalar_type() == ScalarType::Float; }
  Tensor scratch(const std::vector<int64_t>& shape) const { return new_empty(k, shape, state_type(k)); }
  // The sums over spans, to be computed; undefined where one is all.
  std::optional<Tensor> span_sums() const {
    if (inputs.spans == 1) return {};
    return scratch({rows, inputs.spans, 2, 3, inputs.channels});
  }

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(BiWkvInputs, Parameters...), const Arguments&... arguments) const {
    constexpr int64_t kSums = 2 * 3 * 32;  // see BiWkvThread::shared
    const int64_t bytes = warps * kSums * (state_type(k) == ScalarType::Double ? 8 : 4);
    device.launch(kernel, rows * inputs.spans * divided(inputs.channels, 32), static_cast<int>(32 * warps), bytes,
                  inputs, arguments...);
  }
  template <class io_t>
  void scan(const Tensor& of_spans) const {
    device.launch(bi_wkv_scan_kernel<io_t>, 2 * rows * divided(inputs.channels, kBiWkvScanThreads), kBiWkvScanThreads,
                  0, inputs, data<accumulate_t<io_t>>(of_spans));
  }
  template <class... Parameters, class... Arguments>
  void launch_compat(void (*kernel)(BiWkvInputs, int64_t, Parameters...), const Arguments&... arguments) const {
    device.launch(kernel, rows * divided(inputs.channels, kBiWkvCompatThreads), kBiWkvCompatThreads, 0, inputs,
                  compat_chunks, arguments...);
  }
};

Tensor bi_wkv(Tensor w, Tensor u, Tensor k, Tensor v, int64_t compat_chunks) {
  check_bi_wkv("bi_wkv", w, u, k, v, compat_chunks);
  const BiWkvCall call(w, u, k, v, compat_chunks, kBiWkvForwardWarps);
  Tensor y = new_empty(call.k, call.k.sizes());
  for_io_type(call.k, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    if (compat_chunks > 0) {
      const Tensor kept = call.scratch({call.rows, call.inputs.time, 4, call.inputs.channels});
      call.launch_compat(bi_wkv_compat_forward_kernel<io_t>, data<acc_t>(kept), data<io_t>(y));
      return;
    }
    const std::optional<Tensor> spans = call.span_sums();
    if (spans) {
      call.launch(bi_wkv_spans_kernel<io_t>, data<acc_t>(*spans));
      call.scan<io_t>(*spans);
    }
    call.launch(bi_wkv_forward_kernel<io_t>, data_if<acc_t>(spans), data<io_t>(y));
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> bi_wkv_backward(Tensor grad_y, Tensor w, Tensor u, Tensor k, Tensor v,
                                                           int64_t compat_chunks) {
  check_bi_wkv("_bi_wkv_backward", w, u, k, v, compat_chunks);
  check_bi_wkv_gradient("_bi_wkv_backward", grad_y, k);
  const BiWkvCall call(w, u, k, v, compat_chunks, kBiWkvBackwardWarps);
  grad_y = as_contiguous(grad_y);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_k = gradient_of(call.k), grad_v = gradient_of(call.v);

  const int64_t channels = call.inputs.channels, parts = call.rows * (compat_chunks > 0 ? 1 : call.inputs.spans);
  const Tensor by_w = call.scratch({parts, channels}), by_u = call.scratch({parts, channels});
  for_io_type(call.k, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const BiWkvGradients<io_t> grad{.y = data<io_t>(grad_y), .k = data<io_t>(grad_k), .v = data<io_t>(grad_v)};
    if (compat_chunks > 0) {
      const Tensor kept = call.scratch({call.rows, call.inputs.time, 4, channels});
      call.launch_compat(bi_wkv_compat_backward_kernel<io_t>, data<acc_t>(kept), grad, data<acc_t>(by_w),
                         data<acc_t>(by_u));
    } else {
      const std::optional<Tensor> sources = call.span_sums(), outputs = call.span_sums();
      const BiWkvScratch<acc_t> scratch{.source_spans = data_if<acc_t>(sources),
                                        .output_spans = data_if<acc_t>(outputs),
                                        .by_w = data<acc_t>(by_w),
                                        .by_u = data<acc_t>(by_u)};
      if (sources) {
        call.launch(bi_wkv_spans_kernel<io_t>, scratch.source_spans);
        call.scan<io_t>(*sources);
        call.launch(bi_wkv_output_spans_kernel<io_t>, grad.y, scratch);
        call.scan<io_t>(*outputs);
      }
      call.launch(bi_wkv_backward_kernel<io_t>, grad, scratch);
    }
  });
  return {sum_of_parts(call.device, by_w, call.w), sum_of_parts(call.device, by_u, call.u), grad_k, grad_v};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("bi_wkv", TORCH_BOX(&wkv::cuda::bi_wkv));
  m.impl("_bi_wkv_backward", TORCH_BOX(&wkv::cuda::bi_wkv_backward));
}
