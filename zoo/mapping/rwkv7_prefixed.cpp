// RWKV-7 as newer repositories on the hub have it: the published names behind a prefix, and maybe ln0 computed into the
// embedding, which is then called embeddings. Told from a description of the format, not from a file.
#include "mapping/hub_layout.h"
#include "mapping/hub_names.h"

namespace wkv::zoo {
namespace {

constexpr const char* kHubPrefixes[] = {"rwkv7.", "model."};

bool is_behind(const Checkpoint& file, const std::string& prefix) { return file.has(prefix + "blocks.0.att.r_k"); }

bool is_rwkv7_prefixed(const Checkpoint& file) {
  return is_behind(file, kHubPrefixes[0]) || is_behind(file, kHubPrefixes[1]);
}

void read_rwkv7_prefixed(Checkpoint& file, Config& config) {
  const std::string prefix = is_behind(file, kHubPrefixes[0]) ? kHubPrefixes[0] : kHubPrefixes[1];
  std::vector<TensorEntry> entries;
  for (const auto& [name, entry] : file.tensors()) {
    const std::string own = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
    entries.push_back(renamed(*entry, own == "embeddings.weight" ? "emb.weight" : own));
  }
  file.replace(std::move(entries));
  config.require("model_type", {"rwkv7"});
  config.require("tie_word_embeddings", {"false"});
}

}  // namespace

const HubLayout rwkv7_prefixed_layout = {is_rwkv7_prefixed, read_rwkv7_prefixed, nullptr, nullptr};

}  // namespace wkv::zoo
