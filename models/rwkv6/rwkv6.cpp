// RWKV-6: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv6.h"

#include "layers/parameter_groups.h"
#include "rwkv6/options.h"
#include "rwkv6/time_mix.h"

namespace wkv::models {

struct RWKV6Impl::Parts : ResidualStack<RWKV6TimeMix> {
  using ResidualStack::ResidualStack;
};

RWKV6Impl::RWKV6Impl(RWKV6Options options, bool initialise)
    : options_(complete(std::move(options))),
      parts_(std::make_shared<Parts>(*this, options_, MixForm::of_predecessor)) {
  if (initialise) parts_->initialise(1e-4);
}

RWKV6Impl::~RWKV6Impl() = default;

std::string RWKV6Impl::config_json() const { return to_config_json(options_); }

std::vector<LanguageModel::StateEntry> RWKV6Impl::state_entries() const {
  std::vector<StateEntry> entries = parts_->state_entries<StateEntry>();
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer)
    entries[layer * Parts::kEntries + Parts::kWkv].learned = parts_->blocks[layer]->att->time_state;
  return entries;
}

at::Tensor RWKV6Impl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  return parts_->run(tokens, state, sequences, gradient_checkpointing());
}

at::Tensor RWKV6Impl::logits(const at::Tensor& hidden) { return parts_->logits(hidden); }

std::vector<ParameterGroup> RWKV6Impl::parameter_groups() const {
  return recipe_groups(*this, {{"att.time_decay", 2.0}});
}

}  // namespace wkv::models
