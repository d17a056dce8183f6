// RWKV-5: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv5.h"

#include "layers/parameter_groups.h"
#include "rwkv5/options.h"
#include "rwkv5/time_mix.h"

namespace wkv::models {

struct RWKV5Impl::Parts : ResidualStack<RWKV5TimeMix> {
  using ResidualStack::ResidualStack;
};

RWKV5Impl::RWKV5Impl(RWKV5Options options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>(*this, options_, MixForm::of_token)) {
  // The previews draw the embedding from as far as their first learning rate, 6e-4, goes.
  if (initialise) parts_->initialise(options_.per_channel ? 1e-4 : 6e-4);
}

RWKV5Impl::~RWKV5Impl() = default;

std::string RWKV5Impl::config_json() const { return to_config_json(options_); }

std::vector<LanguageModel::StateEntry> RWKV5Impl::state_entries() const {
  std::vector<StateEntry> entries = parts_->state_entries<StateEntry>();
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer)
    entries[layer * Parts::kEntries + Parts::kWkv].learned = parts_->blocks[layer]->att->time_state;
  return entries;
}

at::Tensor RWKV5Impl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  return parts_->run(tokens, state, sequences, gradient_checkpointing());
}

at::Tensor RWKV5Impl::logits(const at::Tensor& hidden) { return parts_->logits(hidden); }

std::vector<ParameterGroup> RWKV5Impl::parameter_groups() const {
  return recipe_groups(*this, {{"att.time_decay", 2.0}, {"att.time_first", 3.0}});
}

}  // namespace wkv::models
