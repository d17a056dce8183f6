// A checkpoint of one family as one of another: what `wkv convert --to` knows beside containers.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "wkv/zoo/load.h"

namespace wkv::zoo {

// A model between reading and writing: tensors under the published names, and the file's metadata.
struct ModelTensors {
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

struct Conversion {
  const char* target;  // ConvertOptions::to
  const char* source_family;
  const char* family;  // of the result
  // Throws wkv::Error for a model that can't be converted so, and for options out of range. source: for messages.
  void (*convert)(ModelTensors& model, const ConvertOptions& options, const std::string& source);
};

extern const Conversion to_multi_temporal;
extern const Conversion to_rrwkv;

}  // namespace wkv::zoo
