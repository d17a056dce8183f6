// run_package PACKAGE INPUTS OUTPUTS: runs a package that AOTInductor made of a program with wkv's operators, on
// tensors that torch.save wrote. No Python, and nothing of wkv but that libwkv_ops.so is linked.
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <fstream>
#include <iterator>

int main(int, char** argv) {
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const c10::IValue loaded = torch::jit::pickle_load(bytes);
  std::vector<at::Tensor> inputs;
  for (const c10::IValue& input : loaded.toListRef()) inputs.push_back(input.toTensor());
  torch::inductor::AOTIModelPackageLoader package(argv[1]);
  const auto outputs = package.run(inputs);
  const auto saved = torch::jit::pickle_save(c10::ivalue::Tuple::create({outputs.begin(), outputs.end()}));
  std::ofstream(argv[3], std::ios::binary).write(saved.data(), static_cast<std::streamsize>(saved.size()));
}
