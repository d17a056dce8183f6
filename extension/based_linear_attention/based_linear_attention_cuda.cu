// based_linear_attention and its backward on CUDA.
#include <cmath>

#include "based_linear_attention/based_linear_attention_check.h"
#include "based_linear_attention/based_linear_attention_chunked.cuh"
#include "based_linear_attention/based_linear_attention_chunked_backward.cuh"
#include "based_linear_attention/based_linear_attention_recurrent.cuh"
#include "core/cuda/launch.h"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct BasedArguments {
  Tensor q, k, v;
  OptionalTensor kv_state, k_state;
  Device device;
  BasedCall call;

  // The arguments have been checked.
  BasedArguments(const char* op, const Tensor& q_, const Tensor& k_, const Tensor& v_, const OptionalTensor& kv_state_,
                 const OptionalTensor& k_state_, bool normalize, double eps, const OptionalTensor& cu_seqlens)
      : q(as_contiguous(q_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        kv_state(kv_state_ ? OptionalTensor(as_contiguous(*kv_state_)) : std::nullopt),
        k_state(k_state_ ? OptionalTensor(as_contiguous(*k_state_)) : std::nullopt),
        device(q),
        call{.sequences = device.sequences(op, q.size(0), q.size(1), cu_seqlens),
             .heads = q.size(2),
             .size = static_cast<int>(q.size(3)),
             .values = static_cast<int>(v.size(3)),
             .normalize = normalize,
             .eps = eps} {
    const double root = std::sqrt(static_cast<double>(call.size)), second = std::sqrt(2.0) * root;
    call.scale = 1 / root;
    call.to_packed = {std::sqrt(root), second, second / 2};
    call.to_full = {1 / std::sqrt(root), 1 / second, 1 / second};
  }

  int64_t tasks() const { return call.sequences.count * call.heads; }
  template <class acc_t>
  BasedState<const acc_t> before() const {
    return {data_if<acc_t>(kv_state), data_if<acc_t>(k_state)};
  }
  // Whether the chunked kernels are for q and k of this size, and not wished away.
  bool chunked() const { return call.size <= kBasedElements && wished_form() != Form::kRecurrent; }
  template <class io_t>
  BasedElements<io_t> queries() const {
    return {data<io_t>(q), static_cast<float>(call.scale), 0.5f};
  }
  template <class io_t>
  BasedElements<io_t> keys() const {
    return {data<io_t>(k), 1, 1};
  }
  // 64 values to a block, or 32 where there are no more or where blocks are few.
  template <class io_t>
  void launch_outputs(BasedOutputs<io_t> outputs) const {
    const bool few = tasks() * ((call.values + 63) / 64) < device.multiprocessors();
    const int warps = few || call.values <= 32 ? kBasedMostValueWarps / 2 : kBasedMostValueWarps;
    outputs.groups = (call.values + 16 * warps - 1) / (16 * warps);
    device.launch(based_outputs_kernel<io_t>, tasks() * outputs.groups, 32 * warps,
                  BasedOutputs<io_t>::shared_bytes(warps), call, outputs);
  }
  template <bool kOfKeys, class io_t>
  void launch_gradients(const BasedGradients<io_t>& gradients) const {
    const auto launch = [&](auto tiles) {
      constexpr int kTiles = decltype(tiles)::value;
      device.launch(based_gradients_kernel<io_t, kTiles, kOfKeys>, tasks(), kBasedGradientThreads,
                    BasedGradientsMemory<kTiles>::kBytes, call, gradients);
    };
    if (call.values <= 64) {
      launch(std::integral_constant<int, 8>());
    } else {
      launch(std::integral_constant<int, kBasedMostGradientValues / 8>());
    }
  }
  // Of all heads: features times the values and the normaliser.
  Tensor recurrent_states() const {
    const int64_t features = int64_t{call.size + 1} * (call.size + 2) / 2;
    return new_empty(q, {tasks(), features, call.values + 1}, state_type(q));
  }
};

template <class acc_t>
BasedState<acc_t> state_of(const Tensor& kv, const Tensor& k) {
  return {data<acc_t>(kv), data<acc_t>(k)};
}

std::tuple<Tensor, Tensor, Tensor> based_linear_attention(Tensor q, Tensor k, Tensor v, OptionalTensor kv_state,
                                                          OptionalTensor k_state, bool normalize, double eps,
                                                          OptionalTensor cu_seqlens) {
  const char* const op = "based_linear_attention";
  check_based_linear_attention(op, q, k, v, kv_state, k_state, cu_seqlens);
  const BasedArguments x(op, q, k, v, kv_state, k_state, normalize, eps, cu_seqlens);
  const BasedStateShapes<Tensor> shapes(q, v, cu_seqlens);
  Tensor y = new_empty(x.v, x.v.sizes());
  Tensor kv_after = new_empty(x.v, shapes.kv, state_type(x.q)), k_after = new_empty(x.v, shapes.k, state_type(x.q));
  for_io_type(x.q, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    if constexpr (std::is_same_v<acc_t, float>) {
      if (x.chunked()) {
        return x.launch_outputs<io_t>({.x = x.queries<io_t>(),
                                       .y = x.keys<io_t>(),
                                       .w = data<io_t>(x.v),
                                       .w_factor = nullptr,
                                       .out = data<io_t>(y),
                                       .reverse = false,
                                       .before = x.before<float>(),
                                       .after = state_of<float>(kv_after, k_after),
                                       .load = x.call.to_packed,
                                       .store = x.call.to_full});
      }
    }
    const Tensor states = x.recurrent_states();
    x.device.launch(based_forward_kernel<io_t>, x.tasks(), kBasedThreads,
                    BasedToken<acc_t>::shared_bytes(x.call.size, x.call.values), x.call, data<io_t>(x.q),
                    data<io_t>(x.k), data<io_t>(x.v), x.before<acc_t>(), data<acc_t>(states), data<io_t>(y),
                    state_of<acc_t>(kv_after, k_after));
  });
  return {y, kv_after, k_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> based_linear_attention_backward(
    Tensor grad_y, Tensor grad_kv_state, Tensor grad_k_state, Tensor q, Tensor k, Tensor v, OptionalTensor kv_state,
    OptionalTensor k_state, bool normalize, double eps, OptionalTensor cu_seqlens) {
  const char* const op = "_based_linear_attention_backward";
  check_based_linear_attention(op, q, k, v, kv_state, k_state, cu_seqlens);
  check_based_linear_attention_gradients(op, grad_y, grad_kv_state, grad_k_state, q, v, cu_seqlens);
  const BasedArguments x(op, q, k, v, kv_state, k_state, normalize, eps, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_kv_state = as_contiguous(grad_kv_state);
  grad_k_state = as_contiguous(grad_k_state);
  const auto gradient_of = [](const Tensor& tensor) { return new_empty(tensor, tensor.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& tensor) {
    return tensor ? gradient_of(*tensor) : new_empty(grad_y, {0});
  };
  Tensor grad_q = gradient_of(x.q), grad_k = gradient_of(x.k), grad_v = gradient_of(x.v),
         grad_kv_before = gradient_if_given(x.kv_state), grad_k_before = gradient_if_given(x.k_state);
  const Tensor query_sums = new_empty(x.q, {3, x.q.size(0) * x.q.size(1) * x.call.heads}, state_type(x.q));
  for_io_type(x.q, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const int64_t rows = query_sums.size(1);
    acc_t* const sums = data<acc_t>(query_sums);
    const BasedQuerySums<acc_t> of_queries{sums, sums + rows, sums + 2 * rows};
    const BasedState<const acc_t> after{data<acc_t>(grad_kv_state), data<acc_t>(grad_k_state)};
    const BasedState<acc_t> before{x.kv_state ? data<acc_t>(grad_kv_before) : nullptr,
                                   x.k_state ? data<acc_t>(grad_k_before) : nullptr};
    if constexpr (std::is_same_v<acc_t, float>) {
      if (x.chunked() && x.call.values <= kBasedMostGradientValues) {
        x.launch_gradients<false, io_t>({.x = x.queries<io_t>(),
                                         .y = x.keys<io_t>(),
                                         .u = data<io_t>(grad_y),
                                         .w = data<io_t>(x.v),
                                         .dx = data<io_t>(grad_q),
                                         .dx_scale = static_cast<float>(x.call.scale),
                                         .sums = of_queries,
                                         .before = x.before<float>(),
                                         .normaliser_after = nullptr,
                                         .load = x.call.to_packed,
                                         .store = x.call.to_full});
        x.launch_gradients<true, io_t>({.x = x.keys<io_t>(),
                                        .y = x.queries<io_t>(),
                                        .u = data<io_t>(x.v),
                                        .w = data<io_t>(grad_y),
                                        .dx = data<io_t>(grad_k),
                                        .dx_scale = 1,
                                        .sums = of_queries,
                                        .before = after,
                                        .normaliser_after = before.k,
                                        .load = x.call.to_full,
                                        .store = x.call.to_packed});
        return x.launch_outputs<io_t>({.x = x.keys<io_t>(),
                                       .y = x.queries<io_t>(),
                                       .w = data<io_t>(grad_y),
                                       .w_factor = of_queries.inverse,
                                       .out = data<io_t>(grad_v),
                                       .reverse = true,
                                       .before = after,
                                       .after = before,
                                       .load = x.call.to_full,
                                       .store = x.call.to_packed});
      }
    }
    const Tensor states = x.recurrent_states();
    const int64_t bytes = BasedToken<acc_t>::shared_bytes(x.call.size, x.call.values);
    x.device.launch(based_query_gradients_kernel<io_t>, x.tasks(), kBasedThreads, bytes, x.call, data<io_t>(x.q),
                    data<io_t>(x.k), data<io_t>(x.v), data<io_t>(grad_y), x.before<acc_t>(), data<acc_t>(states),
                    of_queries, data<io_t>(grad_q));
    x.device.launch(based_key_gradients_kernel<io_t>, x.tasks(), kBasedThreads, bytes, x.call, data<io_t>(x.q),
                    data<io_t>(x.k), data<io_t>(x.v), data<io_t>(grad_y), after, data<acc_t>(states), of_queries,
                    data<io_t>(grad_k), data<io_t>(grad_v), before);
  });
  return {grad_q, grad_k, grad_v, grad_kv_before, grad_k_before};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("based_linear_attention", TORCH_BOX(&wkv::cuda::based_linear_attention));
  m.impl("_based_linear_attention_backward", TORCH_BOX(&wkv::cuda::based_linear_attention_backward));
}
