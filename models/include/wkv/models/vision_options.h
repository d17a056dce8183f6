// The options that VRWKV, VRWKV6 and what is built on their trunk have in common; upstream's key stands beside each.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wkv::models {

// Under this key a file's metadata hold a vision model's configuration, as JSON.
inline constexpr const char* kConfigMetadata = "config";

// The trunk: patches, positions, blocks. C width, T tokens.
struct VisionTrunkOptions {
  int64_t image_size = 224;  // img_size: the square for which pos_embed has its rows; images may have any other size
  int64_t patch_size = 16;   // patch_size
  int64_t width = 192;       // embed_dims
  int64_t layers = 12;       // depth
  int64_t hidden_rate = 4;   // hidden_rate: of the channel mix, whose hidden width is hidden_rate * width
  bool post_norm = false;    // post_norm: norms stand behind the mixes and not ahead of them
  std::optional<double>
      init_values;                   // init_values: what layer scale (gamma1, gamma2) starts from; none: no layer scale
  bool key_norm = false;             // key_norm: a norm behind the WKV op, and one of the channel mix's hidden values
  bool final_norm = true;            // final_norm: ln1 behind the last block
  bool class_token = false;          // with_cls_token: one more token, the last
  bool output_class_token = false;   // output_cls_token: features and logits are those of the class token too
  std::vector<int64_t> out_indices;  // out_indices: the blocks after which features are taken; empty: the last
  double drop_path_rate = 0;         // drop_path_rate: of the last block; from 0 at the first it rises linearly
  bool checkpointing = false;        // with_cp: training keeps a block's input and computes the block a second time
  bool operator==(const VisionTrunkOptions&) const = default;
};

// How the published classifiers get from features to logits.
enum class ClassifierHead {
  fc,         // head.fc: of the T, S and B sizes and of VRWKV6
  linear,     // head: of the L form up to 12 blocks
  two_layer,  // head.0, tanh, head.2: of the L form
};

struct ClassifierOptions {
  int64_t classes = 1000;  // num_classes; 0: a backbone without a head
  ClassifierHead head = ClassifierHead::fc;
  int64_t hidden = 3072;        // hidden_dims: of the head with two layers
  std::string preprocessing;    // preprocessing, a key of ours: the pipeline; empty: that of the published models
  bool backbone_prefix = true;  // the trunk's names start with "backbone.", as in the published classifiers
  bool operator==(const ClassifierOptions&) const = default;
};

}  // namespace wkv::models
