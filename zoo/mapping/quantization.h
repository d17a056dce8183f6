// Quantised matrices in files: what `wkv convert --dtype int8` writes, and what of it a caller asks for. Such a matrix
// is a uint8 tensor that says itself what it holds (ops::pack_linear), in a file whose metadata has kQuantizationKey.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

class Checkpoint;

inline constexpr const char* kQuantizationKey = "quantization";  // "int8" or "int4"

// The shape [N, K] and the format that a uint8 tensor says of itself. Throws wkv::Error for one that is no quantised
// matrix or that contradicts itself; path: for messages.
struct QuantizedMatrix {
  std::vector<int64_t> shape;
  std::string format;
};
QuantizedMatrix quantized_matrix(const TensorEntry& entry, const std::string& path);

// The format in which the matrices of a file shall be held; empty: in floating point. Asked for neither a quantisation
// nor a dtype, a file keeps its own. Throws wkv::Error for a file that is quantised otherwise.
std::string wanted_quantization(const Checkpoint& checkpoint, const std::string& asked,
                                const std::optional<c10::ScalarType>& dtype);

}  // namespace wkv::zoo
