// RWKV-6: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv6.h"

#include "layers/parameter_groups.h"
#include "layers/precision.h"
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
  const at::ScalarType dtype = parts_->emb->weight.scalar_type();
  const int64_t heads = options_.width / options_.head_size, size = options_.head_size;
  std::vector<StateEntry> entries;
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer) {
    entries.push_back({Parts::entry_name(0, layer), {options_.width}, dtype});
    entries.push_back({Parts::entry_name(1, layer),
                       {heads, size, size},
                       at_least_float(dtype),
                       /*start=*/0,
                       parts_->blocks[layer]->att->time_state});
    entries.push_back({Parts::entry_name(2, layer), {options_.width}, dtype});
  }
  return entries;
}

at::Tensor RWKV6Impl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  return parts_->run(tokens, state, sequences);
}

at::Tensor RWKV6Impl::logits(const at::Tensor& hidden) { return parts_->logits(hidden); }

std::vector<ParameterGroup> RWKV6Impl::parameter_groups() const {
  return recipe_groups(*this, {{"att.time_decay", 2.0}});
}

}  // namespace wkv::models
