// sliding_window_attention and its backward on CUDA.
#include <algorithm>
#include <cmath>

#include "core/cuda/launch.h"
#include "sliding_window_attention/sliding_window_attention_check.h"
#include "sliding_window_attention/sliding_window_attention_simple.cuh"
#include "sliding_window_attention/sliding_window_attention_tiled.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct WindowArguments {
  Tensor q, k, v;
  OptionalTensor past_k, past_v, past_lengths;
  Device device;
  Sequences sequences;
  int64_t past, keys_back;
  double scale;

  // The arguments have been checked, but for the values of past_length: those that lie on the device are not read.
  WindowArguments(const char* op, const Tensor& q_, const Tensor& k_, const Tensor& v_, int64_t keys_back_,
                  std::optional<double> scale_, const OptionalTensor& past_k_, const OptionalTensor& past_v_,
                  const OptionalTensor& past_length, const OptionalTensor& cu_seqlens)
      : q(as_contiguous(q_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        past_k(past_k_ ? OptionalTensor(as_contiguous(*past_k_)) : std::nullopt),
        past_v(past_v_ ? OptionalTensor(as_contiguous(*past_v_)) : std::nullopt),
        past_lengths(past_length ? OptionalTensor(as_contiguous(*past_length)) : std::nullopt),
        device(q),
        sequences(device.sequences(op, q.size(0), q.size(1), cu_seqlens)),
        past(past_k ? past_k->size(1) : 0),
        keys_back(keys_back_),
        scale(scale_.value_or(1 / std::sqrt(static_cast<double>(q.size(3))))) {
    if (!past_lengths) return;
    if (past_lengths->is_cpu()) {
      for (int64_t row = 0; row < past_lengths->size(0); ++row) {
        const int64_t real = past_lengths->const_data_ptr<int64_t>()[row];
        if (real < 0 || real > past) {
          fail(op, ": past_length must be 0 to P = ", past, ", got ", real, " at entry ", row);
        }
      }
    }
    past_lengths = device.on_device(*past_lengths);
  }

  template <class io_t>
  WindowCall<io_t> call() const {
    return {.sequences = sequences,
            .past_lengths = data_if<int64_t>(past_lengths),
            .heads = q.size(2),
            .past = past,
            .keys_back = keys_back,
            .size = static_cast<int>(q.size(3)),
            .scale = scale,
            .q = data<io_t>(q),
            .k = data<io_t>(k),
            .v = data<io_t>(v),
            .past_k = data_if<io_t>(past_k),
            .past_v = data_if<io_t>(past_v)};
  }
  // Blocks of a kernel that takes tiles of `size` of `past_rows` rows and the tokens of each head.
  int64_t blocks(int64_t size, int64_t past_rows) const {
    return WindowTiles{size, past_rows}.count(sequences) * q.size(2);
  }
};

// Calls run(tiles) with the columns / 8 of the kernels on tensor cores that are for these rows; false where there are
// none, or the simple ones are wished for.
template <class io_t, class Run>
bool for_window_tile(int size, const Run& run) {
  if constexpr (!std::is_same_v<io_t, double>) {
    if (size > 128 || wished_form() == Form::kRecurrent) return false;
    if (size <= 32) {
      run(std::integral_constant<int, 4>());
    } else if (size <= 64) {
      run(std::integral_constant<int, 8>());
    } else {
      run(std::integral_constant<int, 16>());
    }
    return true;
  }
  return false;
}

std::tuple<Tensor, Tensor, Tensor> sliding_window_attention(Tensor q, Tensor k, Tensor v, int64_t keys_back,
                                                            std::optional<double> scale, OptionalTensor past_k,
                                                            OptionalTensor past_v, OptionalTensor past_length,
                                                            OptionalTensor cu_seqlens) {
  const char* const op = "sliding_window_attention";
  check_sliding_window_attention(op, q, k, v, keys_back, past_k, past_v, past_length, cu_seqlens);
  const WindowArguments x(op, q, k, v, keys_back, scale, past_k, past_v, past_length, cu_seqlens);
  const std::vector<int64_t> window = window_shape(q, keys_back, past_k, cu_seqlens);
  Tensor y = new_empty(x.q, x.q.sizes());
  Tensor window_k = new_empty(x.q, window), window_v = new_empty(x.q, window);
  for_io_type(x.q, [&](auto io) {
    using io_t = decltype(io);
    const WindowCall<io_t> call = x.call<io_t>();
    constexpr int64_t kThreads = 256;
    const int64_t elements = window[0] * window[1] * window[2] * window[3];
    const int64_t blocks = std::min((elements + kThreads - 1) / kThreads, int64_t{64} * x.device.multiprocessors());
    x.device.launch(window_rows_kernel<io_t>, blocks, kThreads, 0, call, window[1], data<io_t>(window_k),
                    data<io_t>(window_v));
    const bool tiled = for_window_tile<io_t>(call.size, [&](auto tiles) {
      constexpr int kTiles = decltype(tiles)::value;
      x.device.launch(window_forward_tiled_kernel<io_t, kTiles>, x.blocks(kWindowTile, 0), kWindowTileThreads,
                      WindowTileMemory<kTiles>::bytes(1), call, data<io_t>(y));
    });
    if (tiled) return;
    x.device.launch(window_forward_simple_kernel<io_t>, x.blocks(kWindowWarps, 0), 32 * kWindowWarps, 0, call,
                    data<io_t>(y));
  });
  return {y, window_k, window_v};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sliding_window_attention_backward(
    Tensor grad_y, Tensor grad_window_k, Tensor grad_window_v, Tensor q, Tensor k, Tensor v, int64_t keys_back,
    std::optional<double> scale, OptionalTensor past_k, OptionalTensor past_v, OptionalTensor past_length,
    OptionalTensor cu_seqlens) {
  const char* const op = "_sliding_window_attention_backward";
  check_sliding_window_attention(op, q, k, v, keys_back, past_k, past_v, past_length, cu_seqlens);
  check_sliding_window_attention_gradients(op, grad_y, grad_window_k, grad_window_v, q, keys_back, past_k, cu_seqlens);
  const WindowArguments x(op, q, k, v, keys_back, scale, past_k, past_v, past_length, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_window_k = as_contiguous(grad_window_k);
  grad_window_v = as_contiguous(grad_window_v);
  const auto gradient_of = [](const Tensor& tensor) { return new_empty(tensor, tensor.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& tensor) {
    return tensor ? gradient_of(*tensor) : new_empty(grad_y, {0});
  };
  Tensor grad_q = gradient_of(x.q), grad_k = gradient_of(x.k), grad_v = gradient_of(x.v),
         grad_past_k = gradient_if_given(x.past_k), grad_past_v = gradient_if_given(x.past_v);
  const int64_t rows = x.q.size(0) * x.q.size(1) * x.q.size(2);
  const Tensor of_queries = new_empty(x.q, {3, rows}, state_type(x.q));
  for_io_type(x.q, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const WindowCall<io_t> call = x.call<io_t>();
    const WindowGradients<io_t> grad{.y = data<io_t>(grad_y),
                                     .window_k = data<io_t>(grad_window_k),
                                     .window_v = data<io_t>(grad_window_v),
                                     .window = grad_window_k.size(1),
                                     .q = data<io_t>(grad_q),
                                     .k = data<io_t>(grad_k),
                                     .v = data<io_t>(grad_v),
                                     .past_k = data<io_t>(grad_past_k),
                                     .past_v = data<io_t>(grad_past_v)};
    acc_t* const first = data<acc_t>(of_queries);
    const WindowSums<acc_t> sums{first, first + rows, first + 2 * rows};
    const bool tiled = for_window_tile<io_t>(call.size, [&](auto tiles) {
      constexpr int kTiles = decltype(tiles)::value;
      x.device.launch(window_query_gradients_tiled_kernel<io_t, kTiles>, x.blocks(kWindowTile, 0), kWindowTileThreads,
                      WindowTileMemory<kTiles>::bytes(2), call, grad, sums);
      x.device.launch(window_key_gradients_tiled_kernel<io_t, kTiles>, x.blocks(kWindowTile, x.past),
                      kWindowTileThreads, WindowTileMemory<kTiles>::bytes(2), call, grad, sums);
    });
    if (tiled) return;
    x.device.launch(window_query_gradients_simple_kernel<io_t>, x.blocks(kWindowWarps, 0), 32 * kWindowWarps, 0, call,
                    grad, sums);
    x.device.launch(window_key_gradients_simple_kernel<io_t>, x.blocks(kWindowWarps, x.past), 32 * kWindowWarps, 0,
                    call, grad, sums);
  });
  return {grad_q, grad_k, grad_v, grad_past_k, grad_past_v};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("sliding_window_attention", TORCH_BOX(&wkv::cuda::sliding_window_attention));
  m.impl("_sliding_window_attention_backward", TORCH_BOX(&wkv::cuda::sliding_window_attention_backward));
}
