// A checkpoint's tensors, each matched to a parameter or buffer of the module that its shapes describe.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mapping/family.h"

namespace wkv::zoo {

// A module whose parameters still have no particular value, and the tensor of the file for each, but for those that the
// configuration added.
struct MatchedModel {
  std::shared_ptr<models::Model> model;
  const Family* family = nullptr;
  std::map<std::string, const TensorEntry*> tensors;  // by the name of the parameter or buffer
  std::vector<std::string> unused;

  // The file's values of a parameter or buffer, in its shape, those of a quantised matrix in fp32; where the
  // configuration added it, the module's own.
  at::Tensor value(const std::string& name, const at::Tensor& own) const;
  // The same of a matrix as ops::pack_linear makes it, in this format where the file doesn't have it quantised.
  at::Tensor quantized(const std::string& name, const at::Tensor& own, const std::string& format) const;
};

// Parameters, then buffers, by name.
torch::OrderedDict<std::string, at::Tensor> tensors_of(const models::Model& model);

// A checkpoint in another package's layout (hub_layout.h) has the published names afterwards. forced_family: as in
// LoadOptions. Throws one wkv::Error that names every missing, unexpected and mis-shaped tensor.
MatchedModel match(Checkpoint& checkpoint, const std::string& forced_family, Config& config);

}  // namespace wkv::zoo
