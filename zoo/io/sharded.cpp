#include "io/sharded.h"

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "io/container.h"
#include "io/json_events.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using WeightMap = std::unordered_map<std::string, std::string>;  // tensor -> shard

// A shard is a plain file name: an index must not lead us out of its folder.
void check_shard_name(std::string_view shard, const std::string& path) {
  const bool plain = !shard.empty() && shard != "." && shard != ".." &&
                     shard.find_first_of(std::string_view("/\\\0", 3)) == shard.npos;
  if (!plain)
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: \"{}\" is not the plain name of a file", path, printable(shard)));
}

WeightMap read_weight_map(const MappedFile& index) {
  const std::string& path = index.path();
  const auto bytes = index.bytes();
  WeightMap map;
  bool found = false;
  walk_json(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, 4, [&](JsonPath at, const JsonEvent& event) {
        if (at.empty() || at[0] != "weight_map" || event.kind == JsonEvent::Kind::end) return;
        if (at.size() == 1 && event.kind == JsonEvent::Kind::begin_object) {
          found = true;
        } else {
          if (at.size() != 2 || event.kind != JsonEvent::Kind::text)
            throw Error(ErrorCode::corrupt_file, path + ": weight_map must map names of tensors to names of files");
          check_shard_name(event.text, path);
          map.emplace(at[1], event.text);
        }
      });
  if (!found)
    throw Error(ErrorCode::unsupported_format,
                path + ": is a JSON file without a weight_map: name the checkpoint, or its *.index.json");
  return map;
}

}  // namespace

TensorSource read_sharded(const std::shared_ptr<MappedFile>& index) {
  const std::string& path = index->path();
  const WeightMap weight_map = read_weight_map(*index);
  std::map<std::string_view, size_t> shards;  // shard -> how many tensors the index places there
  for (const auto& [tensor, shard] : weight_map) ++shards[shard];

  TensorSource all;
  for (const auto& [shard, expected] : shards) {
    TensorSource part = read_container(MappedFile::open(std::filesystem::path(path).parent_path() / shard));
    if (all.container.empty()) all = {.container = part.container, .entries = {}, .metadata = part.metadata};
    for (TensorEntry& entry : part.entries) {
      const auto place = weight_map.find(entry.name);
      if (place == weight_map.end() || place->second != shard)
        throw Error(ErrorCode::corrupt_file, fmt::format("{}: does not place tensor \"{}\" in {}, where it is", path,
                                                         printable(entry.name), printable(shard)));
      all.entries.push_back(std::move(entry));
    }
    if (part.entries.size() != expected)
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: places {} tensors in {}, which has {}", path, expected,
                                                       printable(shard), part.entries.size()));
  }
  return all;
}

}  // namespace wkv::zoo
