// Continues a text with a model that `wkv export embedded --to aoti model.pt2` compiled:
//   aoti model.pt2 "In the beginning"
// Nothing of wkv but its operators' library, which is linked.
#include <ATen/ATen.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cstdio>

using Package = torch::inductor::AOTIModelPackageLoader;

int main(int, char** argv) {
  Package initial_state(argv[1], "initial_state"), prompt(argv[1], "prompt"), step(argv[1]);
  const int64_t block = std::stoll(prompt.get_metadata().at("block"));

  std::vector<at::Tensor> state = initial_state.run({});
  at::Tensor logits;
  const auto read = [&](Package& graph, const at::Tensor& tokens) {
    std::vector<at::Tensor> inputs = {tokens};
    inputs.insert(inputs.end(), state.begin(), state.end());
    const std::vector<at::Tensor> outputs = graph.run(inputs);
    logits = outputs.front();
    state.assign(outputs.begin() + 1, outputs.end());
  };

  const std::string text = argv[2];
  const std::vector<int64_t> bytes(text.begin(), text.end());  // this model's tokens are bytes
  at::Tensor tokens = at::tensor(bytes).unsqueeze(0);          // [1, T]
  for (; tokens.size(1) >= block; tokens = tokens.slice(1, block)) read(prompt, tokens.slice(1, 0, block).clone());
  for (int64_t t = 0; t < tokens.size(1); ++t) read(step, tokens.slice(1, t, t + 1).clone());
  for (int i = 0; i < 60; ++i) {
    const at::Tensor next = logits.select(1, -1).argmax(-1, /*keepdim=*/true);
    std::putchar(next.item<int>());
    read(step, next);
  }
}
