#include "layers/product.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include "layers/precision.h"

namespace wkv::models {
namespace {

bool ask(const char* function) {
  const auto op = c10::Dispatcher::singleton().findSchema({function, ""});
  return op && op->typed<bool()>().call();
}
// Asked when the library is loaded: later a trace would see it.
const bool has_bfloat16 = ask("mkldnn::_is_mkldnn_bf16_supported"), has_half = ask("mkldnn::_is_mkldnn_fp16_supported");

// Whether PyTorch has more than plain loops for products of the dtype on this CPU.
bool cpu_multiplies(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? has_bfloat16 : dtype != at::kHalf || has_half;
}

template <class Product, class... Operands>
at::Tensor through_float(const Product& product, const at::Tensor& first, const Operands&... others) {
  const at::ScalarType dtype = product_dtype(first);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return product(first.to(at::kFloat), others.to(at::kFloat)...).to(dtype);
}

template <class Product, class... Operands>
at::Tensor multiply(const Product& product, const at::Tensor& first, const Operands&... others) {
  if (!first.is_cpu() || cpu_multiplies(product_dtype(first))) return product(first, others...);
  return through_float(product, first, others...);
}

}  // namespace

at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  if (!bias) return multiply([](const auto& a, const auto& b) { return at::linear(a, b); }, x, weight);
  return multiply([](const auto& a, const auto& b, const auto& c) { return at::linear(a, b, c); }, x, weight, *bias);
}

at::Tensor matrix_product(const at::Tensor& x, const at::Tensor& matrix) {
  return multiply([](const auto& a, const auto& b) { return at::matmul(a, b); }, x, matrix);
}

at::Tensor batched_product(const at::Tensor& left, const at::Tensor& right) {
  return multiply([](const auto& a, const auto& b) { return at::bmm(a, b); }, left, right);
}

at::Tensor matrix_product_in_float(const at::Tensor& x, const at::Tensor& matrix) {
  return through_float([](const auto& a, const auto& b) { return at::matmul(a, b); }, x, matrix);
}

}  // namespace wkv::models
