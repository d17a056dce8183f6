#include "train/sequence_parallel.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace wkv::zoo {
namespace {

std::vector<at::Tensor> floats(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> found;
  for (const auto& tensor : tensors)
    if (tensor.is_floating_point()) found.push_back(tensor);
  return found;
}

}  // namespace

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kRelay = "relay";

// What arrived, whose gradients are sent back. A TensorList: of a std::vector's tensors torch takes no notice.
struct ReceivedState : torch::autograd::Function<ReceivedState> {
  static variable_list forward(AutogradContext* context, at::TensorList state, StateRelay* relay) {
    context->saved_data[kRelay] = reinterpret_cast<int64_t>(relay);
    return state.vec();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto* relay = reinterpret_cast<StateRelay*>(context->saved_data[kRelay].toInt());
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!gradients[i].defined()) gradients[i] = at::zeros_like(relay->like_floats_[i]);
    relay->send_tensors(gradients, relay->index_ - 1);
    return variable_list(gradients.size() + 1);
  }
};

// What was sent, to a zero; its gradients are received.
struct SentState : torch::autograd::Function<SentState> {
  static at::Tensor forward(AutogradContext* context, at::TensorList state, StateRelay* relay) {
    context->saved_data[kRelay] = reinterpret_cast<int64_t>(relay);
    return at::zeros({}, state.front().options());
  }
  static variable_list backward(AutogradContext* context, const variable_list& /*one*/) {
    auto* relay = reinterpret_cast<StateRelay*>(context->saved_data[kRelay].toInt());
    auto gradients = relay->receive_tensors(relay->like_floats_, relay->index_ + 1);
    gradients.emplace_back();  // the relay's
    return gradients;
  }
};

StateRelay::StateRelay(ProcessGroup& group, int64_t index, int64_t count, models::State like)
    : group_(group), index_(index), count_(count), like_(std::move(like)) {
  for (const auto& entry : like_.entries) like_tensors_.push_back(entry.tensor);
  like_floats_ = floats(like_tensors_);
}

std::vector<at::Tensor> StateRelay::tensors_of(const models::State& state) const {
  Tensors tensors;
  for (size_t i = 0; i < state.entries.size(); ++i)
    tensors.push_back(state.entries[i].tensor.to(like_tensors_[i].scalar_type()));
  return tensors;
}

void StateRelay::send_tensors(const Tensors& tensors, int64_t to) {
  Tensors bytes;
  for (const auto& tensor : tensors) bytes.push_back(tensor.detach().reshape(-1).contiguous().view(at::kByte));
  sends_.push_back(group_.send(at::cat(bytes), neighbour(to)));
}

std::vector<at::Tensor> StateRelay::receive_tensors(const Tensors& like, int64_t from) {
  int64_t size = 0;
  for (const auto& tensor : like) size += static_cast<int64_t>(tensor.nbytes());
  const at::Tensor bytes = at::empty({size}, at::kByte);
  group_.receive(bytes, neighbour(from)).wait();
  Tensors tensors;
  int64_t offset = 0;
  for (const auto& tensor : like) {
    const auto length = static_cast<int64_t>(tensor.nbytes());
    tensors.push_back(bytes.narrow(0, offset, length).clone().view(tensor.scalar_type()).view(tensor.sizes()));
    offset += length;
  }
  return tensors;
}

models::State StateRelay::receive() {
  Tensors tensors = receive_tensors(like_tensors_, index_ - 1);
  for (auto& tensor : tensors)
    if (tensor.is_floating_point()) tensor.requires_grad_();
  const Tensors received = floats(tensors);
  auto with_gradient = ReceivedState::apply(at::TensorList(received), this);
  models::State state = like_;
  size_t next = 0;
  for (size_t i = 0; i < tensors.size(); ++i)
    state.entries[i].tensor = tensors[i].is_floating_point() ? with_gradient[next++] : tensors[i];
  return state;
}

at::Tensor StateRelay::send(const models::State& state) {
  const auto tensors = tensors_of(state);
  send_tensors(tensors, index_ + 1);
  const Tensors sent = floats(tensors);
  return SentState::apply(at::TensorList(sent), this);
}

void StateRelay::carry_over(models::State& states) {
  if (last()) {
    send_tensors(tensors_of(states), 0);
    settle();  // a run may end here
  }
  if (!first()) return;
  auto tensors = receive_tensors(tensors_of(states), count_ - 1);
  for (size_t i = 0; i < tensors.size(); ++i) states.entries[i].tensor = tensors[i];
}

void StateRelay::settle() {
  for (auto& pending : sends_) pending.wait();
  sends_.clear();
}

}  // namespace wkv::zoo
