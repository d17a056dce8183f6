// What every model that reads tokens asks of them.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace wkv::models {

// tokens: int64 [B, T], each in 0..vocab - 1. model: the family, for messages. Throws wkv::Error for others.
void check_tokens(const std::string& model, const at::Tensor& tokens, int64_t vocab);

}  // namespace wkv::models
