// sliding_window_attention and its backward on the CPU: checks, outputs, and the division of the work among threads.
// The arithmetic is in the *_isa files. A result does not depend on the number of threads: tiles of queries forward,
// heads of a sequence backward are computed alike in any task.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/scratch.h"
#include "core/sequences.h"
#include "sliding_window_attention/sliding_window_attention.h"
#include "sliding_window_attention/sliding_window_attention_check.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct WindowCall {
  Tensor q, k, v;
  OptionalTensor past_k, past_v;
  std::vector<WindowSequence> sequences;  // of head 0
  WindowInputs inputs;
  int64_t past;
  const WindowKernels& kernels;

  // The arguments have been checked.
  WindowCall(const char* op, const Tensor& q_, const Tensor& k_, const Tensor& v_, int64_t keys_back,
             std::optional<double> scale, const OptionalTensor& past_k_, const OptionalTensor& past_v_,
             const OptionalTensor& past_length, const OptionalTensor& cu_seqlens)
      : q(as_contiguous(q_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        past_k(past_k_ ? OptionalTensor(as_contiguous(*past_k_)) : std::nullopt),
        past_v(past_v_ ? OptionalTensor(as_contiguous(*past_v_)) : std::nullopt),
        inputs{.q = q.const_data_ptr(),
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .heads = q.size(2),
               .head_size = q.size(3),
               .keys_back = keys_back,
               .scale = scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))))},
        past(past_k ? past_k->size(1) : 0),
        kernels(window_kernels().of[static_cast<int>(io_type(q))]) {
    const OptionalTensor lengths = past_length ? OptionalTensor(as_contiguous(*past_length)) : std::nullopt;
    for (const Sequence& sequence : sequences_of(op, q.size(0), q.size(1), cu_seqlens)) {
      const auto row = static_cast<int64_t>(sequences.size());
      const int64_t real = lengths ? lengths->const_data_ptr<int64_t>()[row] : past;
      if (real < 0 || real > past) {
        fail(op, ": past_length must be 0 to P = ", past, ", got ", real, " at entry ", row);
      }
      sequences.push_back({.first_token = sequence.first_token,
                           .length = sequence.length,
                           .head = 0,
                           .past_k = past_k ? rows_of(past_k->const_data_ptr(), row, past) : nullptr,
                           .past_v = past_v ? rows_of(past_v->const_data_ptr(), row, past) : nullptr,
                           .past = past,
                           .first_real = past - real});
    }
  }

  int64_t rows() const { return static_cast<int64_t>(sequences.size()); }
  // Of one token, all heads.
  int64_t row_bytes() const {
    const int64_t size = q.scalar_type() == ScalarType::Double ? 8 : q.scalar_type() == ScalarType::Float ? 4 : 2;
    return inputs.heads * inputs.head_size * size;
  }
  // Sequence `row` in a tensor [rows, count, H, D].
  const void* rows_of(const void* tensor, int64_t row, int64_t count) const {
    return static_cast<const char*>(tensor) + row * count * row_bytes();
  }
  void* rows_of(void* tensor, int64_t row, int64_t count) const {
    return static_cast<char*>(tensor) + row * count * row_bytes();
  }
  WindowSequence head_of(int64_t row, int64_t head) const {
    WindowSequence sequence = sequences[row];
    sequence.head = head;
    return sequence;
  }
  // Tasks to give to a thread at least, so that one start of a thread is worth its cost.
  int64_t grain(int64_t tasks) const {
    constexpr int64_t kWorthwhile = 1 << 18;  // multiply-adds: some 20 microseconds
    const int64_t tokens = q.size(0) * q.size(1), keys = std::min(inputs.keys_back + 1, past + q.size(1));
    return std::max<int64_t>(1, tasks * kWorthwhile / std::max<int64_t>(1, tokens * keys * row_bytes()));
  }

  // The last `count` keys or values of each sequence; zeros for what is not real.
  void copy_window(const void* tokens, const OptionalTensor& of_past, void* window, int64_t count) const {
    const int64_t bytes = row_bytes();
    if (bytes == 0) return;
    const void* past_rows = of_past ? of_past->const_data_ptr() : nullptr;  // read only where past > 0
    for (int64_t i = 0; i < rows(); ++i) {
      const WindowSequence& sequence = sequences[i];
      auto* to = static_cast<char*>(rows_of(window, i, count));
      for (int64_t row = past + sequence.length - count; row < past + sequence.length; ++row, to += bytes) {
        if (row < sequence.first_real) {
          std::memset(to, 0, bytes);
        } else if (row < past) {
          std::memcpy(to, rows_of(past_rows, i * past + row, 1), bytes);
        } else {
          std::memcpy(to, rows_of(tokens, sequence.first_token + row - past, 1), bytes);
        }
      }
    }
  }
};

struct WindowTile {
  int64_t row, first;
};

std::tuple<Tensor, Tensor, Tensor> sliding_window_attention_cpu(Tensor q, Tensor k, Tensor v, int64_t keys_back,
                                                                std::optional<double> scale, OptionalTensor past_k,
                                                                OptionalTensor past_v, OptionalTensor past_length,
                                                                OptionalTensor cu_seqlens) {
  const char* const op = "sliding_window_attention";
  check_sliding_window_attention(op, q, k, v, keys_back, past_k, past_v, past_length, cu_seqlens);
  const WindowCall call(op, q, k, v, keys_back, scale, past_k, past_v, past_length, cu_seqlens);
  const std::vector<int64_t> window = window_shape(q, keys_back, past_k, cu_seqlens);
  Tensor y = new_empty(call.q, call.q.sizes());
  Tensor window_k = new_empty(call.q, window), window_v = new_empty(call.q, window);
  call.copy_window(call.inputs.k, call.past_k, window_k.mutable_data_ptr(), window[1]);
  call.copy_window(call.inputs.v, call.past_v, window_v.mutable_data_ptr(), window[1]);

  std::vector<WindowTile> tiles;
  for (int64_t row = 0; row < call.rows(); ++row) {
    for (int64_t first = 0; first < call.sequences[row].length; first += kWindowQueries) tiles.push_back({row, first});
  }
  const int64_t heads = call.inputs.heads, tasks = static_cast<int64_t>(tiles.size()) * heads;
  if (tasks == 0) return {y, window_k, window_v};
  void* const outputs = y.mutable_data_ptr();
  parallel_for(0, tasks, call.grain(tasks), [&](int64_t begin, int64_t end) {
    const Scratch scratch(call.kernels.forward_scratch(call.inputs));
    for (int64_t task = begin; task < end; ++task) {
      const WindowTile tile = tiles[task / heads];
      const WindowSequence sequence = call.head_of(tile.row, task % heads);
      call.kernels.forward(call.inputs, sequence, outputs, tile.first,
                           std::min(tile.first + kWindowQueries, sequence.length), scratch.get());
    }
  });
  return {y, window_k, window_v};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sliding_window_attention_backward_cpu(
    Tensor grad_y, Tensor grad_window_k, Tensor grad_window_v, Tensor q, Tensor k, Tensor v, int64_t keys_back,
    std::optional<double> scale, OptionalTensor past_k, OptionalTensor past_v, OptionalTensor past_length,
    OptionalTensor cu_seqlens) {
  const char* const op = "_sliding_window_attention_backward";
  check_sliding_window_attention(op, q, k, v, keys_back, past_k, past_v, past_length, cu_seqlens);
  check_sliding_window_attention_gradients(op, grad_y, grad_window_k, grad_window_v, q, keys_back, past_k, cu_seqlens);
  const WindowCall call(op, q, k, v, keys_back, scale, past_k, past_v, past_length, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_window_k = as_contiguous(grad_window_k);
  grad_window_v = as_contiguous(grad_window_v);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& x) { return x ? gradient_of(*x) : new_empty(grad_y, {0}); };
  Tensor grad_q = gradient_of(call.q), grad_k = gradient_of(call.k), grad_v = gradient_of(call.v),
         grad_past_k = gradient_if_given(call.past_k), grad_past_v = gradient_if_given(call.past_v);
  const WindowGradients all{.y = grad_y.const_data_ptr(),
                            .window_k = grad_window_k.const_data_ptr(),
                            .window_v = grad_window_v.const_data_ptr(),
                            .window = grad_window_k.size(1),
                            .q = grad_q.mutable_data_ptr(),
                            .k = grad_k.mutable_data_ptr(),
                            .v = grad_v.mutable_data_ptr(),
                            .past_k = call.past_k ? grad_past_k.mutable_data_ptr() : nullptr,
                            .past_v = call.past_v ? grad_past_v.mutable_data_ptr() : nullptr};

  int64_t scratch_bytes = 0;
  for (const WindowSequence& sequence : call.sequences) {
    scratch_bytes =
        std::max(scratch_bytes, call.kernels.backward_scratch(call.inputs, sequence.past + sequence.length));
  }
  const int64_t tasks = call.rows() * call.inputs.heads;
  if (tasks > 0) {
    parallel_for(0, tasks, call.grain(tasks), [&](int64_t begin, int64_t end) {
      const Scratch scratch(scratch_bytes);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / call.inputs.heads;
        WindowGradients grad = all;
        grad.window_k = call.rows_of(all.window_k, row, all.window);
        grad.window_v = call.rows_of(all.window_v, row, all.window);
        if (call.past_k) {
          grad.past_k = call.rows_of(all.past_k, row, call.past);
          grad.past_v = call.rows_of(all.past_v, row, call.past);
        }
        call.kernels.backward(call.inputs, call.head_of(row, task % call.inputs.heads), grad, scratch.get());
      }
    });
  }
  return {grad_q, grad_k, grad_v, grad_past_k, grad_past_v};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("sliding_window_attention", TORCH_BOX(&wkv::sliding_window_attention_cpu));
  m.impl("_sliding_window_attention_backward", TORCH_BOX(&wkv::sliding_window_attention_backward_cpu));
}
