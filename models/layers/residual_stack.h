// What RWKV-5 and 6 have around their time mix: the block with its two residual branches, and the stack of blocks
// between embedding and head. A block's state is the last input of its time mix [C], its heads' matrices [H, N, N] and
// the last input of its channel mix [C].
#pragma once
#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "layers/checkpointed_block.h"
#include "layers/initial_values.h"
#include "layers/linear.h"
#include "layers/precision.h"
#include "layers/receptance_channel_mix.h"
#include "wkv/models/state.h"

namespace wkv::models {

// TimeMix has heads, head_size, forward(x [B, T, C], shift, wkv, sequences), both states replaced or written in place,
// and a static initialise(block), which gives both branches their initial values.
template <typename TimeMix>
struct ResidualBlock : torch::nn::Module {
  template <typename Options>
  ResidualBlock(const Options& o, int64_t layer_, MixForm form) : layer(layer_), layers(o.layers) {
    if (layer == 0) ln0 = register_module("ln0", std::make_shared<LayerNorm>(o.width));
    ln1 = register_module("ln1", std::make_shared<LayerNorm>(o.width));
    ln2 = register_module("ln2", std::make_shared<LayerNorm>(o.width));
    att = register_module("att", std::make_shared<TimeMix>(o));
    const std::vector<int64_t> mix_shape = {1, 1, o.width};
    ffn = register_module("ffn", std::make_shared<ReceptanceChannelMix>(o.width, o.ffn_width, form, mix_shape));
  }
  // entries: the block's three in a State.
  at::Tensor forward(at::Tensor x, State::Entry* entries, const Sequences& sequences) const {
    x = x + att->forward(ln1->forward(x), entries[0].tensor, entries[1].tensor, sequences);
    return x + ffn->forward(ln2->forward(x), entries[2].tensor, sequences);
  }

  int64_t layer, layers;
  std::shared_ptr<LayerNorm> ln0, ln1, ln2;  // ln0: of the embedding, in block 0 only
  std::shared_ptr<TimeMix> att;
  std::shared_ptr<ReceptanceChannelMix> ffn;
};

template <typename TimeMix>
struct ResidualStack {
  static constexpr size_t kEntries = 3, kWkv = 1;  // of a block, in a State

  // Its parts are registered in the model under the published names.
  template <typename Options>
  ResidualStack(torch::nn::Module& model, const Options& o, MixForm form)
      : emb(model.register_module("emb", std::make_shared<Embedding>(o.vocab, o.width))) {
    torch::nn::ModuleList list;
    for (int64_t layer = 0; layer < o.layers; ++layer) {
      blocks.push_back(std::make_shared<ResidualBlock<TimeMix>>(o, layer, form));
      list->push_back(blocks.back());
    }
    model.register_module("blocks", list);
    ln_out = model.register_module("ln_out", std::make_shared<LayerNorm>(o.width));
    head = model.register_module("head", std::make_shared<Linear>(o.width, o.vocab));
  }

  void initialise(double embedding_range) {
    torch::nn::init::uniform_(emb->weight, -embedding_range, embedding_range);
    for (const auto& block : blocks) {
      for (const auto& norm : {block->ln0, block->ln1, block->ln2})
        if (norm) set_identity(*norm);
      TimeMix::initialise(*block);
    }
    set_identity(*ln_out);
    const double ratio = static_cast<double>(head->weight.size(0)) / static_cast<double>(head->weight.size(1));
    torch::nn::init::orthogonal_(head->weight, 0.5 * std::sqrt(std::max(ratio, 1.0)));
  }

  // Tokens [B, T] to the final hidden values [B, T, C].
  at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences, bool checkpointing) const {
    at::Tensor x = blocks.front()->ln0->forward(emb->forward(tokens));
    for (size_t layer = 0; layer < blocks.size(); ++layer) {
      const auto forward = [block = blocks[layer], sequences](const at::Tensor& in, State::Entry* entries) {
        return block->forward(in, entries, sequences);
      };
      x = run_block(checkpointing, *blocks[layer], x, std::span(&state.entries[layer * kEntries], kEntries), forward);
    }
    return ln_out->forward(x);
  }

  // Entry: LanguageModel::StateEntry, which only models see.
  template <typename Entry>
  std::vector<Entry> state_entries() const {
    const int64_t width = emb->weight.size(1), heads = blocks.front()->att->heads,
                  size = blocks.front()->att->head_size;
    const at::ScalarType dtype = emb->weight.scalar_type();
    std::vector<Entry> entries;
    for (size_t layer = 0; layer < blocks.size(); ++layer) {
      entries.push_back({fmt::format("att_x{}", layer), {width}, dtype});
      entries.push_back({fmt::format("wkv{}", layer), {heads, size, size}, at_least_float(dtype)});
      entries.push_back({fmt::format("ffn_x{}", layer), {width}, dtype});
    }
    return entries;
  }

  at::Tensor logits(const at::Tensor& hidden) const {
    const at::Tensor logits = head->forward(hidden);
    return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  }

  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<ResidualBlock<TimeMix>>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> head;
};

}  // namespace wkv::models
