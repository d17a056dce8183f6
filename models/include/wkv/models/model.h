// What every model is.
#pragma once
#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::models {

// A model of any family. Its parameters carry the published checkpoint's names.
class WKV_API Model : public torch::nn::Module {
 public:
  virtual std::string family() const = 0;       // "rwkv7", ...
  virtual std::string config_json() const = 0;  // the upstream config's keys, as a JSON object
  // What a file of it must say beside its tensors: safetensors' metadata.
  virtual std::map<std::string, std::string> metadata() const { return {}; }
  // Replaces the matrices by quantised ones, "int8" or "int4"; the rest, and the embedding, stay as they are. On the
  // CPU, for inference. Throws wkv::Error for another format, and for a model that is quantised already.
  void quantize(const std::string& format);
  bool quantized() const;
  // The parameters that quantize(format) replaces, by name, and the format of each (see ops::pack_linear). Throws
  // wkv::Error for another format, and for a model without such parameters.
  std::map<std::string, std::string> matrix_formats(const std::string& format) const;

  // Low-rank adaptation, arXiv 2106.09685: the matrices whose names, without ".weight", are or end in one of `targets`
  // ("att.receptance"; none: all that are inside of blocks) give W x + alpha / rank * B A x, with the new parameters
  // <name>.lora_A.weight [rank, in], random, and <name>.lora_B.weight [out, rank], zero. All others are frozen. Throws
  // wkv::Error for a target without a matrix, and for a model that is quantised or adapted already.
  void add_lora(int64_t rank, double alpha, const std::vector<std::string>& targets = {});
  // Adds the adapters to their matrices, and removes them.
  void merge_lora();
};

}  // namespace wkv::models
