// q_shift and its backward on the CPU: runs of bytes are copied, token by token.
#include <cstring>

#include "core/stable.h"
#include "q_shift/q_shift.h"
#include "q_shift/q_shift_check.h"

namespace wkv {
namespace {

// `to` takes its values from `from`; both [batch, grid.tokens(), channels] of elements of so many bytes.
void shift_tokens(const QShiftGrid& grid, const std::vector<QShiftRun>& runs, int64_t batch, int64_t channels,
                  int64_t bytes, const char* from, char* to) {
  constexpr int64_t kWorthwhile = 1 << 18;  // bytes to give to a thread at least: some 20 microseconds
  const int64_t token_bytes = channels * bytes, tokens = grid.tokens();
  if (token_bytes == 0) return;
  parallel_for(0, batch * tokens, kWorthwhile / token_bytes + 1, [&](int64_t first, int64_t last) {
    for (int64_t token = first; token < last; ++token) {
      const auto offsets = grid.offsets(token % tokens);
      for (const QShiftRun& run : runs) {
        const int64_t at = token * token_bytes + run.first * bytes, offset = offsets[run.direction];
        if (offset == kNoNeighbour) {
          std::memset(to + at, 0, run.count * bytes);
        } else {
          std::memcpy(to + at, from + at + offset * token_bytes, run.count * bytes);
        }
      }
    }
  });
}

// `shift` may be negative: then values go the other way.
Tensor shifted(const Tensor& x, int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
               int64_t cls_tokens) {
  const Tensor from = as_contiguous(x);
  Tensor to = new_empty(from, from.sizes());
  const int64_t batch = from.size(0), channels = from.size(2);
  shift_tokens(q_shift_grid(height, width, cls_tokens, shift), q_shift_runs(channels, gamma, head_size), batch,
               channels, element_bytes(from), static_cast<const char*>(from.const_data_ptr()),
               static_cast<char*>(to.mutable_data_ptr()));
  return to;
}

Tensor q_shift_cpu(Tensor x, int64_t height, int64_t width, double gamma, int64_t shift, int64_t head_size,
                   int64_t cls_tokens) {
  check_q_shift("q_shift", x, height, width, gamma, shift, head_size, cls_tokens);
  return shifted(x, height, width, gamma, shift, head_size, cls_tokens);
}

Tensor q_shift_backward_cpu(Tensor grad_y, Tensor x, int64_t height, int64_t width, double gamma, int64_t shift,
                            int64_t head_size, int64_t cls_tokens) {
  check_q_shift("_q_shift_backward", x, height, width, gamma, shift, head_size, cls_tokens);
  check_q_shift_gradient("_q_shift_backward", grad_y, x);
  return shifted(grad_y, height, width, gamma, -shift, head_size, cls_tokens);
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("q_shift", TORCH_BOX(&wkv::q_shift_cpu));
  m.impl("_q_shift_backward", TORCH_BOX(&wkv::q_shift_backward_cpu));
}
