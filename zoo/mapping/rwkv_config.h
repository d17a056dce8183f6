// Configuration keys that several versions of RWKV share and shapes don't tell.
#pragma once
#include <string>

#include "mapping/checkpoint.h"

namespace wkv::zoo {

// What every version has and shapes tell: refuses keys that say something else. Options: of any version's model.
template <class Options>
void expect_sizes(Config& config, const Options& o) {
  config.expect("n_layer", o.layers);
  config.expect("n_embd", o.width);
  config.expect("dim_ffn", o.ffn_width);
  config.expect("vocab", o.vocab);
  config.expect("vocab_size", o.vocab);
}

// ln_x_eps, or what head_size_divisor says it is: 1e-5 * divisor^2. Throws wkv::Error when they contradict one another.
double ln_x_eps(Config& config, double otherwise);

// The LayerNorms' eps, under this key: the same in every published model. Throws wkv::Error for another one.
void require_ln_eps(Config& config, const std::string& key = "ln_eps");

// Has the model att.time_state: the file has it, or the configuration asks for it ("train_type": "states"), which adds
// it as zeros to a plain checkpoint, to be tuned.
bool has_time_state(const Checkpoint& file, Config& config, int64_t layers);

}  // namespace wkv::zoo
