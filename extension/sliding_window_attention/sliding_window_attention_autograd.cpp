// sliding_window_attention for PyTorch's other layers, and its typed call.
#include "core/autograd.h"
#include "sliding_window_attention/sliding_window_attention_check.h"
#include "wkv/ops.h"

namespace wkv {
namespace {

struct SlidingWindowAttentionOp {
  static constexpr const char* kName = "sliding_window_attention";
  using Outputs = std::tuple<Tensor, Tensor, Tensor>;
  using Signature = Outputs(const Tensor& q, const Tensor& k, const Tensor& v, int64_t keys_back,
                            std::optional<double> scale, const OptionalTensor& past_k, const OptionalTensor& past_v,
                            const OptionalTensor& past_length, const OptionalTensor& cu_seqlens);
  static constexpr std::array kDifferentiable{0, 1, 2, 5, 6};
  static constexpr std::array kAutocast{0, 1, 2, 5, 6};

  static void check(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, int64_t keys_back,
                    std::optional<double>, const OptionalTensor& past_k, const OptionalTensor& past_v,
                    const OptionalTensor& past_length, const OptionalTensor& cu_seqlens) {
    check_sliding_window_attention(op, q, k, v, keys_back, past_k, past_v, past_length, cu_seqlens);
  }
  static Outputs meta(const Tensor& q, const Tensor&, const Tensor&, int64_t keys_back, std::optional<double>,
                      const OptionalTensor& past_k, const OptionalTensor&, const OptionalTensor&,
                      const OptionalTensor& cu_seqlens) {
    const auto window = window_shape(q, keys_back, past_k, cu_seqlens);
    return {empty_of_shape(q.sym_sizes().vec(), q.options()), empty_of_shape(window, q.options()),
            empty_of_shape(window, q.options())};
  }
};

}  // namespace

std::tuple<Tensor, Tensor, Tensor> ops::sliding_window_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                                                 int64_t keys_back, std::optional<double> scale,
                                                                 const OptionalTensor& past_k,
                                                                 const OptionalTensor& past_v,
                                                                 const OptionalTensor& past_length,
                                                                 const OptionalTensor& cu_seqlens) {
  return call<SlidingWindowAttentionOp>(q, k, v, keys_back, scale, past_k, past_v, past_length, cu_seqlens);
}

}  // namespace wkv

WKV_REGISTER_OP(wkv::SlidingWindowAttentionOp)
