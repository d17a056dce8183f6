// Continues a text with a model that `wkv export embedded --to torchscript model.pt` wrote:
//   torchscript model.pt "In the beginning"
// Nothing of wkv but its operators' library, which is linked.
#include <torch/script.h>

#include <cstdio>

int main(int, char** argv) {
  const torch::NoGradGuard inference;
  torch::jit::Module model = torch::jit::load(argv[1]);
  torch::IValue state = model.get_method("initial_state")({});

  const std::string text = argv[2];
  const std::vector<int64_t> bytes(text.begin(), text.end());  // this model's tokens are bytes
  at::Tensor tokens = torch::tensor(bytes).unsqueeze(0);       // [1, T]: of any length, read in blocks
  for (int i = 0; i < 60; ++i) {
    const auto output = model.forward({tokens, state}).toTuple();
    const at::Tensor logits = output->elements()[0].toTensor();  // [1, T, V]
    state = output->elements()[1];
    tokens = logits.select(1, -1).argmax(-1, /*keepdim=*/true);
    std::putchar(tokens.item<int>());
  }
}
