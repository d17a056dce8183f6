// wkv7 and wkv7_decode_ on CUDA.
#include "wkv7/wkv7_call.cuh"
#include "wkv7/wkv7_check.h"
#include "wkv7/wkv7_chunked.cuh"
#include "wkv7/wkv7_decode_check.h"
#include "wkv7/wkv7_one_token.cuh"
#include "wkv7/wkv7_recurrent.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

template <class io_t, class Run>
void for_key_size(int64_t size, const Run& run) {
  if constexpr (std::is_same_v<io_t, double>) {
    for_size<64, 256>(size, run);
  } else {
    for_size<32, 64, 80, 128, 256>(size, run);
  }
}

// One token of `rows` sequences.
void launch_one_token(const Device& device, const Tensor& io, const Wkv7Inputs& in, int64_t rows,
                      const Wkv7OneTokenStates& states, void* y) {
  for_io_type(io, [&](auto type) {
    using io_t = decltype(type);
    for_size<32, 64, 128, 256>(in.key_size, [&](auto size) {
      using Shape = Wkv7OneTokenShape<io_t, size()>;
      const int64_t value_blocks = (in.value_size + Shape::kValues - 1) / Shape::kValues;
      device.launch(wkv7_one_token_kernel<io_t, size()>, rows * in.heads * value_blocks, Shape::kThreads, 0, in, states,
                    y, value_blocks);
    });
  });
}

void launch_recurrent(const Wkv7Call& call, const Wkv7ForwardOutputs& out) {
  for_io_type(call.r, [&](auto type) {
    using io_t = decltype(type);
    for_key_size<io_t>(call.batch.in.key_size, [&](auto size) {
      using Shape = Wkv7RecurrentShape<io_t, size()>;
      const int64_t lanes = call.batch.in.value_size * Shape::kLanes;
      int threads = Shape::kMostThreads;
      while (threads > 32 && threads / 2 >= lanes) threads /= 2;
      const auto value_blocks = [&] { return (lanes + threads - 1) / threads; };
      // As few blocks as fill the device: each of them reads all keys.
      while (threads > 32 && call.sequence_heads() * value_blocks() < 2 * call.device.multiprocessors()) threads /= 2;
      call.device.launch(wkv7_recurrent_kernel<io_t, size()>, call.sequence_heads() * value_blocks(), threads,
                         Shape::kSharedBytes, call.batch, out, value_blocks());
    });
  });
}

std::tuple<Tensor, Tensor> wkv7(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, OptionalTensor state,
                                OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv7("wkv7", r, w, k, v, a, b, state, cu_seqlens);
  const Wkv7Call call("wkv7", r, w, k, v, a, b, state, cu_seqlens, log_decay);
  Tensor y = new_empty(call.v, call.v.sizes());
  Tensor state_after = new_empty(call.v, call.state_shape(), state_type(call.r));
  if (!cu_seqlens && r.size(1) == 1) {
    const Wkv7Inputs& in = call.batch.in;
    launch_one_token(call.device, call.r, in, r.size(0),
                     {.from = call.batch.state_before,
                      .to = state_after.mutable_data_ptr(),
                      .slots = nullptr,
                      .pool_size = r.size(0),
                      .slot_stride = in.heads * in.value_size * in.key_size},
                     y.mutable_data_ptr());
  } else {
    launch_wkv7_forward(
        call, {.y = y.mutable_data_ptr(), .state_after = state_after.mutable_data_ptr(), .checkpoints = nullptr});
  }
  return {y, state_after};
}

Tensor wkv7_decode(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, Tensor pool, Tensor slots) {
  check_wkv7_decode("wkv7_decode_", r, w, k, v, a, b, pool, slots);
  const Device device(r);
  r = as_contiguous(r);
  w = as_contiguous(w);
  k = as_contiguous(k);
  v = as_contiguous(v);
  a = as_contiguous(a);
  b = as_contiguous(b);
  slots = as_contiguous(slots);
  const Wkv7Inputs in{.r = r.const_data_ptr(),
                      .k = k.const_data_ptr(),
                      .v = v.const_data_ptr(),
                      .a = a.const_data_ptr(),
                      .b = b.const_data_ptr(),
                      .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, /*log_decay=*/false},
                      .heads = r.size(1),
                      .key_size = r.size(2),
                      .value_size = v.size(2)};
  Tensor y = new_empty(v, v.sizes());
  launch_one_token(device, r, in, r.size(0),
                   {.from = pool.const_data_ptr(),
                    .to = pool.mutable_data_ptr(),
                    .slots = slots.const_data_ptr<int64_t>(),
                    .pool_size = pool.size(0),
                    .slot_stride = pool.stride(0)},
                   y.mutable_data_ptr());
  return y;
}

}  // namespace

void launch_wkv7_forward(const Wkv7Call& call, const Wkv7ForwardOutputs& out) {
  const bool launched = call.launch_chunked([&](auto io, auto size) {
    constexpr int kSharedBytes = kWkv7ChunkedSharedBytes<decltype(io), size()>;
    if (kSharedBytes > call.device.most_shared_bytes()) return false;
    call.device.launch(wkv7_chunked_kernel<decltype(io), size()>, call.sequence_heads(),
                       Wkv7Chunk<decltype(io), size()>::kThreads, kSharedBytes, call.batch, out);
    return true;
  });
  if (!launched) launch_recurrent(call, out);
}

}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("wkv7", TORCH_BOX(&wkv::cuda::wkv7));
  m.impl("wkv7_decode_", TORCH_BOX(&wkv::cuda::wkv7_decode));
}
