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

// Sizes proven from shapes, the rest from the configuration. post_norm: where the configuration doesn't say, which
// names and shapes can't.
models::VisionTrunkOptions read_trunk(const Checkpoint& file, const std::string& prefix, bool post_norm,
                                      Config& config);

// Does the file have layer scale?
bool has_layer_scale(const Checkpoint& file, const std::string& prefix);

// Needs the trunk's width.
models::ClassifierOptions read_classifier(const Checkpoint& file, int64_t width, Config& config);

// Throws wkv::Error where the configuration is of another generation of the model.
void expect_generation(Config& config, bool six);

}  // namespace wkv::zoo
