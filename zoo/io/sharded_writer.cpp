#include "io/sharded_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "io/atomic_file.h"
#include "io/safetensors_writer.h"

namespace wkv::zoo {
namespace {

using Shard = std::vector<LazyTensor>;

std::vector<Shard> divided(std::vector<LazyTensor> tensors, uint64_t shard_bytes) {
  std::vector<Shard> shards(1);
  uint64_t bytes = 0;
  for (LazyTensor& tensor : tensors) {
    const uint64_t size = tensor.nbytes();
    if (!shards.back().empty() && bytes + size > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += size;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

}  // namespace

void write_sharded(const std::filesystem::path& folder, std::vector<LazyTensor> tensors,
                   const std::map<std::string, std::string>& metadata, uint64_t shard_bytes) {
  std::vector<Shard> shards = divided(std::move(tensors), shard_bytes);
  if (shards.size() == 1) return write_safetensors(folder / "model.safetensors", std::move(shards[0]), metadata);
  uint64_t total = 0;
  nlohmann::ordered_json places = nlohmann::ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const LazyTensor& tensor : shards[i]) {
      places[tensor.name] = name;
      total += tensor.nbytes();
    }
    write_safetensors(folder / name, std::move(shards[i]), metadata);
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", places}};
  AtomicFile file(folder / "model.safetensors.index.json");
  file.write(index.dump(2) + "\n");
  file.commit();
}

}  // namespace wkv::zoo
