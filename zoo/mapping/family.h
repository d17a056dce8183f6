// What the zoo knows of one model family: how its checkpoints look, and how their names map to the module's.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "mapping/checkpoint.h"
#include "wkv/models/language_model.h"

namespace wkv::zoo {

struct Family {
  const char* name;
  // Is this checkpoint one of the family, from its names alone? Throws wkv::Error for a relative that is known and not
  // supported.
  bool (*matches)(const Checkpoint& checkpoint);
  // The module with the sizes that the shapes tell, its parameters of no particular value.
  std::shared_ptr<models::Model> (*build)(const Checkpoint& checkpoint, Config& config);
  // The module's name for a tensor of the file; empty: the tensor is known, and not used.
  std::string (*own_name)(const std::string& tensor_name);
};

// Every family, in the order in which they are asked. A new family adds its mapping/<family>.cpp and a row here.
std::span<const Family> families();

extern const Family rwkv7_family;
extern const Family rwkv7_digits_family;
extern const Family rwkv6_family;
extern const Family rwkv5_family;
extern const Family rwkv4_family;
extern const Family multi_temporal_rwkv_family;
extern const Family rrwkv_family;
extern const Family based_family;
extern const Family transformer_family;
extern const Family vrwkv_family;
extern const Family vrwkv6_family;
extern const Family vrwkv_segmenter_family;
extern const Family vrwkv_adapter_family;
extern const Family vrwkv6_adapter_family;
extern const Family rwkv_clip_family;

}  // namespace wkv::zoo
