// A model as a TorchScript file, which runs without this library's models: torch.jit.load in Python, torch::jit::load
// in C++, where libwkv_ops is loaded.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "wkv/export.h"
#include "wkv/models/model.h"

namespace wkv::zoo {

// The sizes that a traced graph has for good.
struct TraceSizes {
  int64_t batch = 1;   // rows of tokens and of states, or images
  int64_t block = 64;  // of a language model: tokens that its graph for prompts reads at once
  int64_t image = 0;   // height and width of images; 0: what the model's preprocessing gives
};

// Writes `path`, whole or not at all. Its module's parameters have the model's names, and its methods are
//   of a language model   initial_state() -> List[Tensor], the entries of models::State in their order
//                         forward(tokens int64 [batch, T], state) -> (logits [batch, T, V], state), any T: by calls of
//                         prompt, for `block` tokens, and decode, for one, which have the same arguments
//   of a vision model     forward(images [batch, 3, image, image]) -> logits, where it has a head
//                         features(images) -> List[Tensor]: each stage's map, behind it its class token where it has
//                         one
//   of RWKV-CLIP          encode_image(images), encode_text(tokens int64 [batch, context]) -> features, not normalised;
//                         forward(images, tokens) -> (image features, text features, scale of the logits)
// Its extra file "wkv.json" has family, config, dtype, the sizes and, of a language model, the state's entries. Before
// anything is written, each method has computed the model's numbers on other inputs than those it was traced with.
// Throws wkv::Error for a model whose graph depends on more than shapes, by name and reason, and for sizes below 1.
WKV_API void export_torchscript(const std::shared_ptr<models::Model>& model, const std::string& path,
                                const TraceSizes& sizes = {});

}  // namespace wkv::zoo
