// What every op promises to PyTorch's other layers, from one description of the op: shapes without data, gradients
// through its backward op, the refusal of second derivatives, autocast. A description `Op` has
//   kName             the op's name; its backward is _<name>_backward (schema.cpp says what that takes and returns)
//   Signature         the C++ type of the call, as ops.h has it
//   kDifferentiable   the positions of the arguments that have a gradient
//   kAutocast         the positions of the arguments that autocast casts; the others keep their precision
//   check(op, args...)  refuses what the kernels refuse;    meta(args...)  the outputs' shapes for arguments checked
#pragma once
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "core/check.h"

namespace wkv {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// --- shapes, for meta() ---

inline Tensor empty_of_shape(const std::vector<c10::SymInt>& shape, const at::TensorOptions& options) {
  return at::empty_symint(shape, options);
}
// States are fp32, those of fp64 sequences fp64.
inline at::TensorOptions state_options(const Tensor& sequence) {
  return sequence.options().dtype(sequence.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}
// The rows of a state: one a sequence.
inline c10::SymInt sequence_count(const Tensor& sequence, const OptionalTensor& cu_seqlens) {
  return cu_seqlens ? cu_seqlens->sym_size(0) - 1 : sequence.sym_size(0);
}

// --- the typed call ---

template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const std::string& name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(("wkv::" + name).c_str(), "").typed<Signature>();
}
// Calls the op through the dispatcher.
template <class Op, class... Args>
auto call(Args&&... args) {
  static const auto op = find_op<typename Op::Signature>(Op::kName);
  return op.call(std::forward<Args>(args)...);
}

// --- from the description to the registered functions ---

namespace detail {

template <size_t>
using TensorAt = Tensor;
template <class Indices>
struct TensorTuple;
template <size_t... I>
struct TensorTuple<std::index_sequence<I...>> {
  using type = std::tuple<TensorAt<I>...>;
};
// n tensors as an op returns them: a tuple, or the only one.
template <size_t n>
struct Tensors {
  using type = typename TensorTuple<std::make_index_sequence<n>>::type;
};
template <>
struct Tensors<1> {
  using type = Tensor;
};

inline variable_list to_list(const Tensor& tensor) { return {tensor}; }
template <class... T>
variable_list to_list(const std::tuple<T...>& tensors) {
  return std::apply([](const auto&... tensor) { return variable_list{tensor...}; }, tensors);
}
template <class Outputs>
Outputs from_list(const variable_list& tensors) {
  if constexpr (std::is_same_v<Outputs, Tensor>) {
    return tensors[0];
  } else {
    return [&]<size_t... I>(std::index_sequence<I...>) { return Outputs{tensors[I]...}; }
    (std::make_index_sequence<std::tuple_size_v<Outputs>>());
  }
}

template <class Positions>
constexpr bool contains(const Positions& positions, size_t position) {
  for (const auto p : positions) {
    if (static_cast<size_t>(p) == position) return true;
  }
  return false;
}

template <class Arg>
inline constexpr bool is_tensor =
    std::is_same_v<std::decay_t<Arg>, Tensor> || std::is_same_v<std::decay_t<Arg>, OptionalTensor>;
inline Tensor tensor_or_undefined(const Tensor& arg) { return arg; }
inline Tensor tensor_or_undefined(const OptionalTensor& arg) { return arg.value_or(Tensor()); }

// The argument as a tensor; undefined, where it is none or was not given.
template <class Arg>
Tensor as_tensor(const Arg& arg) {
  if constexpr (is_tensor<Arg>) {
    return tensor_or_undefined(arg);
  } else {
    return {};
  }
}

inline bool is_strided(const Tensor& tensor) { return !tensor.defined() || tensor.layout() == at::kStrided; }

inline bool needs_gradient(const Tensor& tensor) {
  if (!tensor.defined()) return false;
  return (tensor.requires_grad() && at::GradMode::is_enabled()) || tensor._fw_grad(/*level=*/0).defined();
}

}  // namespace detail

// What needs no backward: all there is of the decode ops, whose signature has what they write as Tensor&.
template <class Op, class Signature = typename Op::Signature>
struct RegisteredOp;

template <class Op, class Outputs_, class... Args>
struct RegisteredOp<Op, Outputs_(Args...)> {
  using Outputs = Outputs_;
  static constexpr size_t kArguments = sizeof...(Args);

  static Outputs meta(Args... args) {
    Op::check(Op::kName, args...);
    return Op::meta(args...);
  }

  template <c10::DeviceType kDevice>
  static Outputs autocast(Args... args) {
    const c10::impl::ExcludeDispatchKeyGuard guard(
        c10::DispatchKeySet{c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA});
    return [&]<size_t... I>(std::index_sequence<I...>) { return call<Op>(cast<kDevice, I>(args)...); }
    (std::make_index_sequence<kArguments>());
  }

  // A backward through the op is an error ...
  static Outputs autograd(Args... args) {
    // The kernel checks; but there is none for tensors of another layout.
    if (!(detail::is_strided(detail::as_tensor(args)) && ...)) Op::check(Op::kName, args...);
    const Outputs outputs = [&] {
      at::AutoDispatchBelowAutograd guard;
      return call<Op>(args...);
    }();
    if ((detail::needs_gradient(detail::as_tensor(args)) || ...)) {
      torch::autograd::set_history(
          detail::to_list(outputs),
          std::make_shared<torch::autograd::NotImplemented>(
              Op::kName, torch::autograd::collect_next_edges(variable_list{detail::as_tensor(args)...})));
    }
    return outputs;
  }
  // ... and so is one, from now on, that needs what the tensors were that the op writes.
  static Outputs in_place(Args... args) {
    (count_change<Args>(args), ...);
    at::AutoDispatchBelowADInplaceOrView guard;
    return call<Op>(args...);
  }

  static void register_meta(torch::Library& m) { m.impl(Op::kName, meta); }
  static void register_autograd(torch::Library& m) { m.impl(Op::kName, autograd); }
  template <c10::DeviceType kDevice>
  static void register_autocast(torch::Library& m) {
    m.impl(Op::kName, autocast<kDevice>);
  }

 private:
  template <class Arg>
  static void count_change([[maybe_unused]] const std::decay_t<Arg>& arg) {
    if constexpr (std::is_same_v<Arg, Tensor&>) arg.unsafeGetTensorImpl()->bump_version();
  }
  // The argument cast, or itself: what is written in place must stay what it is.
  template <c10::DeviceType kDevice, size_t kPosition, class Arg>
  static decltype(auto) cast(Arg& arg) {
    if constexpr (detail::contains(Op::kAutocast, kPosition)) {
      return at::autocast::cached_cast(at::autocast::get_autocast_dtype(kDevice), arg, kDevice);
    } else {
      return (arg);  // a reference: it may be a tensor that the op writes
    }
  }
};

template <class Op, class Signature = typename Op::Signature>
struct DifferentiableOp;

template <class Op, class Outputs_, class... Args>
struct DifferentiableOp<Op, Outputs_(Args...)> : torch::autograd::Function<DifferentiableOp<Op, Outputs_(Args...)>> {
  using Outputs = Outputs_;
  using Gradients = typename detail::Tensors<Op::kDifferentiable.size()>::type;
  static constexpr bool is_traceable = true;
  static constexpr size_t kArguments = sizeof...(Args);
  static constexpr size_t kOutputs = [] {
    if constexpr (std::is_same_v<Outputs, Tensor>) {
      return size_t{1};
    } else {
      return std::tuple_size_v<Outputs>;
    }
  }();

  static variable_list forward(AutogradContext* ctx, Args... args) {
    at::AutoDispatchBelowADInplaceOrView guard;
    variable_list tensors;
    size_t position = 0;
    (save(ctx, tensors, position++, args), ...);
    ctx->save_for_backward(std::move(tensors));
    return detail::to_list(call<Op>(args...));
  }

  // Gradients of outputs that nobody used arrive as zeros.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    size_t tensor = 0, position = 0;
    const std::tuple<std::decay_t<Args>...> args{restore<std::decay_t<Args>>(ctx, saved, tensor, position)...};
    const variable_list found = detail::to_list(call_backward(grads, args, std::make_index_sequence<kOutputs>()));
    const std::array<bool, kArguments> given = std::apply(
        [](const auto&... arg) { return std::array<bool, kArguments>{detail::as_tensor(arg).defined()...}; }, args);
    variable_list result(kArguments);
    for (size_t i = 0; i < found.size(); ++i) {
      const size_t of = Op::kDifferentiable[i];
      if (given[of]) result[of] = found[i];
    }
    return result;
  }

  static Outputs autograd(Args... args) {
    Op::check(Op::kName, args...);  // here already, because apply() needs tensors that exist
    if ((detail::needs_gradient(detail::as_tensor(args)) || ...)) {
      return detail::from_list<Outputs>(DifferentiableOp::apply(args...));
    }
    at::AutoDispatchBelowADInplaceOrView guard;
    return call<Op>(args...);
  }

  static void register_autograd(torch::Library& m) {
    m.impl(Op::kName, autograd);
    m.impl(backward_name().c_str(), torch::autograd::autogradNotImplementedFallback());
  }
  static void register_backward_meta(torch::Library& m) {
    [&]<size_t... I>(std::index_sequence<I...>) { m.impl(backward_name().c_str(), backward_meta<I...>); }
    (std::make_index_sequence<kOutputs>());
  }

 private:
  template <size_t>
  using Gradient = const Tensor&;
  static std::string backward_name() { return std::string("_").append(Op::kName).append("_backward"); }

  template <size_t... I>
  static Gradients backward_meta(Gradient<I>... grads, Args... args) {
    Op::check(backward_name().c_str(), args...);
    const Tensor first = std::get<0>(std::tuple<Gradient<I>...>(grads...));
    const variable_list tensors{detail::as_tensor(args)...};
    check_same_device({grads...}, tensors[0]);
    variable_list result;
    for (const size_t i : Op::kDifferentiable) {
      const Tensor& x = tensors[i];
      result.push_back(x.defined() ? at::empty_symint(x.sym_sizes(), x.options()) : at::empty({0}, first.options()));
    }
    return detail::from_list<Gradients>(result);
  }

  // A meta tensor among tensors of another device brings the dispatcher here.
  static void check_same_device(const variable_list& grads, const Tensor& x) {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(("wkv::" + backward_name()).c_str(), "");
    const auto name = [](size_t i) { return op.schema().arguments()[i].name().c_str(); };
    const std::string backward = backward_name();
    for (size_t i = 0; i < grads.size(); ++i) {
      Check<Tensor>{backward.c_str()}.same_device(name(i), grads[i], name(grads.size()), x);
    }
  }

  template <size_t... I>
  static Gradients call_backward(const variable_list& grads, const std::tuple<std::decay_t<Args>...>& args,
                                 std::index_sequence<I...>) {
    static const auto op = find_op<Gradients(Gradient<I>..., Args...)>(backward_name());
    return std::apply([&](const auto&... arg) { return op.call(grads[I]..., arg...); }, args);
  }

  template <class Arg>
  static void save(AutogradContext* ctx, variable_list& tensors, size_t position, const Arg& arg) {
    if constexpr (detail::is_tensor<Arg>) {
      tensors.push_back(detail::as_tensor(arg));
    } else {
      ctx->saved_data[std::to_string(position)] = arg;
    }
  }
  template <class Arg>
  static Arg restore(AutogradContext* ctx, const variable_list& saved, size_t& tensor, size_t& position) {
    const size_t here = position++;
    if constexpr (std::is_same_v<Arg, Tensor>) {
      return saved[tensor++];
    } else if constexpr (std::is_same_v<Arg, OptionalTensor>) {
      const Tensor& x = saved[tensor++];
      return x.defined() ? OptionalTensor(x) : std::nullopt;
    } else {
      return ctx->saved_data[std::to_string(here)].template to<Arg>();
    }
  }
};

}  // namespace wkv

// At file scope, outside of any namespace: registers what the description of an op without gradient says (and that what
// it writes has changed) ...
#define WKV_REGISTER_OP_WITHOUT_GRADIENT(Op)                                                                       \
  TORCH_LIBRARY_IMPL(wkv, Meta, m) { wkv::RegisteredOp<Op>::register_meta(m); }                                    \
  TORCH_LIBRARY_IMPL(wkv, AutocastCPU, m) { wkv::RegisteredOp<Op>::register_autocast<c10::DeviceType::CPU>(m); }   \
  TORCH_LIBRARY_IMPL(wkv, AutocastCUDA, m) { wkv::RegisteredOp<Op>::register_autocast<c10::DeviceType::CUDA>(m); } \
  TORCH_LIBRARY_IMPL(wkv, Autograd, m) { wkv::RegisteredOp<Op>::register_autograd(m); }                            \
  TORCH_LIBRARY_IMPL(wkv, ADInplaceOrView, m) { m.impl(Op::kName, wkv::RegisteredOp<Op>::in_place); }
// ... and of one with gradients.
#define WKV_REGISTER_OP(Op)                                                                                        \
  TORCH_LIBRARY_IMPL(wkv, Meta, m) {                                                                               \
    wkv::RegisteredOp<Op>::register_meta(m);                                                                       \
    wkv::DifferentiableOp<Op>::register_backward_meta(m);                                                          \
  }                                                                                                                \
  TORCH_LIBRARY_IMPL(wkv, AutocastCPU, m) { wkv::RegisteredOp<Op>::register_autocast<c10::DeviceType::CPU>(m); }   \
  TORCH_LIBRARY_IMPL(wkv, AutocastCUDA, m) { wkv::RegisteredOp<Op>::register_autocast<c10::DeviceType::CUDA>(m); } \
  TORCH_LIBRARY_IMPL(wkv, Autograd, m) { wkv::DifferentiableOp<Op>::register_autograd(m); }
