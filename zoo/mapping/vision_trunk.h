// What the checkpoints of Vision-RWKV's relatives tell about trunk and head.
#pragma once
#include <string>

#include "mapping/checkpoint.h"
#include "wkv/models/vision_options.h"

namespace wkv::zoo {

// The prefix of the trunk's names, "backbone." or "".
std::string trunk_prefix(const Checkpoint& file);

// Is this a classifier, or a backbone, whose blocks have a tensor of this name? Not so of dense adapters.
bool is_plain_trunk(const Checkpoint& file, const std::string& att_parameter);

// A configuration that a converted file carries in its metadata is what `config` doesn't say.
void read_saved_config(const Checkpoint& file, Config& config);

// Do the norms of a classifier stand behind the mixes, where the configuration doesn't say it in so many words? No name
// or shape tells. Upstream's own configuration, which has the model's type, leaves out what is as it is by default;
// without it, the published classifiers are the rule: of those with layer scale all have their norms there.
bool published_post_norm(const Checkpoint& file, const std::string& prefix, Config& config);

// Sizes proven from shapes, the rest from the configuration. post_norm: where the configuration doesn't say.
models::VisionTrunkOptions read_trunk(const Checkpoint& file, const std::string& prefix, bool post_norm,
                                      Config& config);

// Needs the trunk's width.
models::ClassifierOptions read_classifier(const Checkpoint& file, int64_t width, Config& config);

// Throws wkv::Error where the configuration is of another generation of the model.
void expect_generation(Config& config, bool six);

}  // namespace wkv::zoo
