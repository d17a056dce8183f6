// The gradients of wkv6, wkv5 and bi_wkv6 on CUDA: the states at chunks' starts, the chunks backwards, the sums of
// parts.
#include "wkv6/wkv6_backward.cuh"
#include "wkv6/wkv6_cuda.h"

namespace wkv::cuda {
namespace {

// A gradient that blocks find in parts.
class Parts {
 public:
  // Of rows of the io dtype: without a second part the gradient itself.
  static Parts of_rows(const Tensor& x, int64_t count) { return {x, count, count > 1}; }
  // Of a parameter.
  static Parts of_parameter(const Tensor& x, int64_t count) { return {x, count, true}; }

  Wkv6GradientPart part() const {
    return {tensor_.mutable_data_ptr(), tensor_.scalar_type() == ScalarType::Float, like_.numel()};
  }
  Tensor sum(const Device& device) const { return in_parts_ ? sum_of_parts(device, tensor_, like_) : tensor_; }

 private:
  Parts(const Tensor& like, int64_t count, bool in_parts)
      : like_(like),
        tensor_(in_parts ? new_empty(like, {count, like.numel()}, state_type(like)) : new_empty(like, like.sizes())),
        in_parts_(in_parts) {}

  Tensor like_, tensor_;
  bool in_parts_;
};

}  // namespace

Wkv6GradientTensors wkv6_gradients(const Device& device, const Wkv6Tensors& x, const Wkv6Grid& grid,
                                   const Tensor& grad_y, const OptionalTensor& grad_state) {
  const Wkv6Inputs& in = x.inputs;
  Tensor checkpoints =
      new_empty(x.v, {grid.directions * grid.checkpoints(), in.heads, in.value_size, in.key_size}, state_type(x.r));
  launch_wkv6(device, x, grid,
              {.state_before = x.state ? x.state->const_data_ptr() : nullptr,
               .state_after = nullptr,
               .y = nullptr,
               .float_y = false,
               .checkpoints = checkpoints.mutable_data_ptr()});

  Tensor before = x.state ? new_empty(*x.state, x.state->sizes()) : new_empty(x.v, {0});
  std::optional<Wkv6GradientTensors> gradients;
  for_io_type(x.r, [&](auto io) {
    for_wkv6_keys(in, [&](auto keys) {
      using io_t = decltype(io);
      using acc_t = accumulate_t<io_t>;
      constexpr int64_t kValues = wkv6_backward_values<acc_t>(keys);
      Wkv6Grid parted = grid;
      parted.value_parts = (in.value_size + kValues - 1) / kValues;
      const int64_t parts = parted.directions * parted.value_parts, tasks = parts * parted.sequences.count;
      const Parts r = Parts::of_rows(x.r, parts), k = Parts::of_rows(x.k, parts),
                  v = Parts::of_rows(x.v, parted.directions),
                  w = in.constant_decay ? Parts::of_parameter(x.w, tasks) : Parts::of_rows(x.w, parts),
                  u = Parts::of_parameter(x.u, tasks);
      const Wkv6BackwardInputs<acc_t> from{.y = grad_y.const_data_ptr(),
                                           .state_after = data_if<acc_t>(grad_state),
                                           .checkpoints = data<acc_t>(checkpoints),
                                           .state_before = x.state ? data<acc_t>(before) : nullptr};
      device.launch(wkv6_backward_kernel<io_t, keys>, parted.blocks(in.heads), 2 * keys,
                    wkv6_backward_elements<io_t, keys>() * sizeof(acc_t), in, parted, from,
                    Wkv6GradientRows{r.part(), k.part(), w.part(), u.part(), v.part()});
      gradients = {r.sum(device), k.sum(device), v.sum(device), w.sum(device), u.sum(device), before};
    });
  });
  return *gradients;
}

}  // namespace wkv::cuda
