// RRWKV-style language model (the project's definition): embedding, blocks, head; state in and out.
#include "wkv/models/rrwkv.h"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "layers/checkpointed_block.h"
#include "rrwkv/blocks.h"
#include "rwkv4/options.h"
#include "wkv/error.h"

namespace wkv::models {
namespace {

RRWKVOptions complete_rrwkv(RRWKVOptions o) {
  o.base = complete(o.base);
  const auto require = [](bool good, const std::string& expected) {
    if (!good) throw Error(ErrorCode::invalid_argument, "RRWKVOptions: " + expected);
  };
  require(o.base.attention_width == o.base.width,
          fmt::format("attention_width must be width, {}, got {}", o.base.width, o.base.attention_width));
  require(!o.base.pre_ffn && o.base.tiny_att_dim == 0 && o.base.head_qk == 0,
          "pre_ffn, tiny attention and head_qk can't be had with mediums");
  constexpr int64_t kAny = int64_t{1} << 40;
  require(o.interval >= 0 && o.interval <= kAny, fmt::format("interval must be in 0..{}, got {}", kAny, o.interval));
  require(o.excite_width >= 0, fmt::format("excite_width must be 0 or more, got {}", o.excite_width));
  if (o.excite_width == 0) o.excite_width = std::max<int64_t>(o.base.width / 16, 1);
  return o;
}

}  // namespace

struct RRWKVImpl::Parts {
  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<RRWKVBlock>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> head;
};

RRWKVImpl::RRWKVImpl(const RRWKVOptions& options, bool initialise)
    : options_(complete_rrwkv(options)), parts_(std::make_shared<Parts>()) {
  const RWKV4Options& base = options_.base;
  parts_->emb = register_module("emb", std::make_shared<Embedding>(base.vocab, base.width));
  torch::nn::ModuleList blocks;
  for (int64_t layer = 0; layer < base.layers; ++layer) {
    parts_->blocks.push_back(std::make_shared<RRWKVBlock>(options_, layer));
    blocks->push_back(parts_->blocks.back());
  }
  register_module("blocks", blocks);
  parts_->ln_out = register_module("ln_out", std::make_shared<LayerNorm>(base.width));
  parts_->head = register_module("head", std::make_shared<Linear>(base.width, base.vocab));
  if (!initialise) return;

  torch::nn::init::uniform_(parts_->emb->weight, -base.embedding_range, base.embedding_range);
  for (int64_t layer = 0; layer < base.layers; ++layer)
    parts_->blocks[static_cast<size_t>(layer)]->initialise_base(depth(layer, base.layers));
  set_identity(*parts_->ln_out);
  const double ratio = static_cast<double>(base.vocab) / static_cast<double>(base.width);
  torch::nn::init::orthogonal_(parts_->head->weight, 0.5 * std::sqrt(std::max(ratio, 1.0)));
  initialise_mediums();
}

RRWKVImpl::~RRWKVImpl() = default;

void RRWKVImpl::initialise_mediums() {
  for (int64_t layer = 0; layer < options_.base.layers; ++layer)
    parts_->blocks[static_cast<size_t>(layer)]->initialise_mediums(depth(layer, options_.base.layers));
}

std::string RRWKVImpl::config_json() const {
  const RWKV4Options& base = options_.base;
  return nlohmann::ordered_json{{"n_layer", base.layers},        {"n_embd", base.width},
                                {"dim_ffn", base.ffn_width},     {"vocab_size", base.vocab},
                                {"interval", options_.interval}, {"excite_width", options_.excite_width}}
      .dump();
}

std::map<std::string, std::string> RRWKVImpl::metadata() const {
  return {{kIntervalMetadata, fmt::format("{}", options_.interval)}};
}

std::vector<LanguageModel::StateEntry> RRWKVImpl::state_entries() const {
  const at::Tensor& weight = parts_->emb->weight;
  const at::ScalarType dtype = weight.scalar_type(), wide = dtype == at::kDouble ? dtype : at::kFloat;
  const int64_t width = options_.base.width;
  const at::Tensor empty_wkv = empty_wkv4_state(width, weight.options().dtype(wide));
  std::vector<StateEntry> entries;
  for (int64_t layer = 0; layer < options_.base.layers; ++layer) {
    const auto add = [&](const char* name, at::ScalarType precision) {
      entries.push_back({fmt::format("{}{}", name, layer), {width}, precision});
    };
    const auto add_wkv = [&](const char* name) {
      entries.push_back(
          {.name = fmt::format("{}{}", name, layer), .shape = {3, width}, .dtype = wide, .learned = empty_wkv});
    };
    add("att_x", dtype);
    add_wkv("wkv");
    add("ffn_x", dtype);
    add("seg", wide);  // a long sum
    add("med", dtype);
    add_wkv("medium_wkv");
    add("ret", dtype);
  }
  entries.push_back({"pos", {}, at::kLong});
  return entries;
}

at::Tensor RRWKVImpl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  at::Tensor& pos = state.entries.back().tensor;
  const at::Tensor positions = sequences.read(pos);
  const Segments segments(positions, options_.interval, sequences, tokens);
  at::Tensor x = parts_->blocks.front()->ln0->forward(parts_->emb->forward(tokens));
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer) {
    const auto forward = [block = parts_->blocks[layer], segments, sequences](const at::Tensor& in,
                                                                              State::Entry* entries) {
      return block->forward(in, entries, segments, sequences);
    };
    const std::span entries(&state.entries[layer * RRWKVBlock::kEntries], RRWKVBlock::kEntries);
    x = run_block(gradient_checkpointing(), *parts_->blocks[layer], x, entries, forward);
  }
  sequences.write(pos, sequences.cu_seqlens ? positions + sequences.cu_seqlens->diff().to(positions.device())
                                            : positions + tokens.size(1));
  return parts_->ln_out->forward(x);
}

at::Tensor RRWKVImpl::logits(const at::Tensor& hidden) {
  const at::Tensor logits = parts_->head->forward(hidden);
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

std::vector<ParameterGroup> RRWKVImpl::parameter_groups() const { return rwkv4_parameter_groups(*this); }

}  // namespace wkv::models
