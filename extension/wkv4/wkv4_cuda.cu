// wkv4, its backward and wkv4_decode_ on CUDA.
#include "core/cuda/launch.h"
#include "wkv4/wkv4_backward_kernels.cuh"
#include "wkv4/wkv4_check.h"
#include "wkv4/wkv4_kernels.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

int64_t divided(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }

// Tokens of a segment, whole chunks: as few as give the GPU enough threads to hide its memory behind. What precedes a
// segment is summed by each of its threads: of many segments that would be the work.
int64_t segment_length(const Device& device, const Tensor& k, int64_t sequences) {
  constexpr int64_t kThreadsWanted = 512, kShortest = 64, kMostSegments = 64;  // threads of a multiprocessor
  const Form wish = wished_form();
  const int64_t wanted = kThreadsWanted * device.multiprocessors();
  int64_t length = std::max<int64_t>(divided(k.size(1), kMostSegments), kWkv4Chunk);
  if (wish == Form::kRecurrent || (wish == Form::kByShape && 2 * sequences * k.size(2) > wanted)) {
    length = std::max(length, k.size(1));
  } else if (wish == Form::kByShape) {
    length = std::max({length, divided(k.numel(), wanted), kShortest});
  }
  return divided(length, kWkv4Chunk) * kWkv4Chunk;
}

struct Wkv4Call {
  Device device;
  Tensor w, u, k, v;
  OptionalTensor state;
  Wkv4Inputs inputs;
  Wkv4Grid grid;
  int64_t slots;  // see Wkv4Place

  // The arguments have been checked.
  Wkv4Call(const char* op, const Tensor& w_, const Tensor& u_, const Tensor& k_, const Tensor& v_,
           const OptionalTensor& state_, const OptionalTensor& cu_seqlens)
      : device(k_), w(as_contiguous(w_)), u(as_contiguous(u_)), k(as_contiguous(k_)), v(as_contiguous(v_)) {
    if (state_) state = as_contiguous(*state_);
    inputs = {.w = {w.const_data_ptr(), is_float(w)},
              .u = {u.const_data_ptr(), is_float(u)},
              .k = k.const_data_ptr(),
              .v = v.const_data_ptr(),
              .channels = w.size(0)};
    grid.sequences = device.sequences(op, k.size(0), k.size(1), cu_seqlens);
    grid.segment_length = segment_length(device, k, grid.sequences.count);
    grid.segments = std::max<int64_t>(1, divided(k.size(1), grid.segment_length));
    slots = slots_of(grid.segment_length);
  }

  static bool is_float(const Tensor& x) { return x.scalar_type() == ScalarType::Float; }
  // Of parts of so many tokens, for all sequences.
  int64_t slots_of(int64_t length) const { return k.size(0) * k.size(1) / length + grid.sequences.count; }
  bool in_segments() const { return grid.segments > 1; }
  Tensor scratch(const std::vector<int64_t>& shape) const { return new_empty(k, shape, state_type(k)); }

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Wkv4Inputs, Wkv4Grid, Parameters...), const Arguments&... arguments) const {
    const int64_t blocks = grid.sequences.count * grid.segments * divided(inputs.channels, kWkv4Threads);
    device.launch(kernel, blocks, kWkv4Threads, 0, inputs, grid, arguments...);
  }
  // The sums of the segments; undefined where one is all.
  template <class io_t>
  OptionalTensor segment_sums() const {
    if (!in_segments()) return {};
    Tensor sums = scratch({slots, 3, inputs.channels});
    launch(wkv4_segments_kernel<io_t>, data<accumulate_t<io_t>>(sums));
    return sums;
  }
};

std::tuple<Tensor, Tensor> wkv4(Tensor w, Tensor u, Tensor k, Tensor v, OptionalTensor state,
                                OptionalTensor cu_seqlens) {
  check_wkv4("wkv4", w, u, k, v, state, cu_seqlens);
  const Wkv4Call call("wkv4", w, u, k, v, state, cu_seqlens);
  Tensor y = new_empty(call.k, call.k.sizes());
  Tensor state_after = call.scratch({call.grid.sequences.count, 3, call.inputs.channels});
  for_io_type(call.k, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const OptionalTensor sums = call.segment_sums<io_t>();
    call.launch(wkv4_forward_kernel<io_t>, data_if<acc_t>(call.state), data_if<acc_t>(sums), data<io_t>(y),
                data<acc_t>(state_after));
  });
  return {y, state_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> wkv4_backward(Tensor grad_y, Tensor grad_state, Tensor w, Tensor u,
                                                                 Tensor k, Tensor v, OptionalTensor state,
                                                                 OptionalTensor cu_seqlens) {
  check_wkv4("_wkv4_backward", w, u, k, v, state, cu_seqlens);
  check_wkv4_gradients("_wkv4_backward", grad_y, grad_state, k, cu_seqlens);
  const Wkv4Call call("_wkv4_backward", w, u, k, v, state, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_state = as_contiguous(grad_state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_k = gradient_of(call.k), grad_v = gradient_of(call.v),
         grad_before = call.state ? gradient_of(*call.state) : new_empty(grad_y, {0});

  const int64_t channels = call.inputs.channels;
  const Tensor checkpoints = call.scratch({call.slots_of(kWkv4Chunk), 3, channels});
  const Tensor after = call.scratch({call.grid.sequences.count, 3, channels});
  // Zeros, for not every slot is of a segment.
  const Tensor by_w = torch::stable::new_zeros(call.k, {call.slots, channels}, state_type(call.k)),
               by_u = torch::stable::new_zeros(call.k, {call.slots, channels}, state_type(call.k));
  OptionalTensor passed;
  if (call.in_segments()) passed = call.scratch({call.slots, 4, channels});
  for_io_type(call.k, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const OptionalTensor sums = call.segment_sums<io_t>();
    const Wkv4Scratch<acc_t> scratch{.segment_sums = data_if<acc_t>(sums),
                                     .checkpoints = data<acc_t>(checkpoints),
                                     .passed = data_if<acc_t>(passed),
                                     .after = data<acc_t>(after),
                                     .by_w = data<acc_t>(by_w),
                                     .by_u = data<acc_t>(by_u)};
    const Wkv4Gradients<io_t> grad{.y = data<io_t>(grad_y),
                                   .state_after = data<acc_t>(grad_state),
                                   .k = data<io_t>(grad_k),
                                   .v = data<io_t>(grad_v),
                                   .state_before = call.state ? data<acc_t>(grad_before) : nullptr};
    call.launch(wkv4_checkpoints_kernel<io_t>, data_if<acc_t>(call.state), grad, scratch);
    call.launch(wkv4_backward_kernel<io_t>, grad, scratch);
  });
  return {sum_of_parts(call.device, by_w, call.w), sum_of_parts(call.device, by_u, call.u), grad_k, grad_v,
          grad_before};
}

Tensor wkv4_decode(Tensor w, Tensor u, Tensor k, Tensor v, Tensor pool, Tensor slots) {
  check_wkv4_decode("wkv4_decode_", w, u, k, v, pool, slots);
  const Device device(k);
  w = as_contiguous(w), u = as_contiguous(u), k = as_contiguous(k), v = as_contiguous(v), slots = as_contiguous(slots);
  Tensor y = new_empty(k, k.sizes());
  const Wkv4Inputs inputs{.w = {w.const_data_ptr(), Wkv4Call::is_float(w)},
                          .u = {u.const_data_ptr(), Wkv4Call::is_float(u)},
                          .k = k.const_data_ptr(),
                          .v = v.const_data_ptr(),
                          .channels = w.size(0)};
  for_io_type(k, [&](auto io) {
    using io_t = decltype(io);
    device.launch(wkv4_decode_kernel<io_t>, k.size(0) * divided(inputs.channels, kWkv4Threads), kWkv4Threads, 0, inputs,
                  data<int64_t>(slots), pool.size(0), pool.stride(0), data<accumulate_t<io_t>>(pool), data<io_t>(y));
  });
  return y;
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("wkv4", TORCH_BOX(&wkv::cuda::wkv4));
  m.impl("_wkv4_backward", TORCH_BOX(&wkv::cuda::wkv4_backward));
  m.impl("wkv4_decode_", TORCH_BOX(&wkv::cuda::wkv4_decode));
}
