// A TorchScript module that shares a model's parameters, and whose methods are traces of the model's.
#pragma once
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <string>
#include <vector>

#include "wkv/models/model.h"

namespace wkv::zoo {

class ScriptModule {
 public:
  explicit ScriptModule(const models::Model& model);

  // Adds a method that does to any inputs what `function` does to these: the operators it calls on them and on the
  // parameters are recorded; all else, shapes above all, is fixed by this one call.
  using Function = std::function<c10::IValue(const std::vector<c10::IValue>& inputs)>;
  void trace(const std::string& method, const std::vector<std::string>& arguments,
             const std::vector<c10::IValue>& inputs, const Function& function);
  // Adds methods in TorchScript's own language.
  void define(const std::string& source) { module_.define(source); }
  // Calls a method on these inputs; throws wkv::Error where it doesn't give the function's numbers.
  void check(const std::string& method, const std::vector<c10::IValue>& inputs, const Function& function);

  const torch::jit::Module& module() const { return module_; }

 private:
  std::string family_;
  torch::jit::Module module_;
};

}  // namespace wkv::zoo
