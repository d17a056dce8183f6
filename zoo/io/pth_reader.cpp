#include "io/pth_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "io/layout.h"
#include "io/pickle_machine.h"
#include "io/printable.h"
#include "io/pth_tensors.h"
#include "io/zip_reader.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// Bounds loading by twice the file and 64 MB, with two pickles and the entries alive at once.
size_t pickle_memory(size_t file_size) { return (16 << 20) + file_size / 2; }

// Tensors may share a storage, as tied matrices do. But a model copies what each of them holds: a small file that names
// one storage many times must not become a large model.
void check_shared_values(const std::vector<TensorEntry>& entries, size_t file_size, const std::string& path) {
  uint64_t bytes = 0;
  for (const TensorEntry& entry : entries)
    bytes += static_cast<uint64_t>(element_count(entry.shape).value_or(0) * element_bytes(entry.dtype));
  if (bytes > 2 * file_size + (64 << 20))
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: its tensors hold {} bytes, which the file of {} bytes names again and again: save "
                            "copies of what they share",
                            path, bytes, file_size));
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void refuse_big_endian(const std::string& path) {
  throw Error(ErrorCode::unsupported_format,
              path + ": was written on a big-endian machine: load it with torch there, and save it on this one");
}

// The folder in the archive that everything lies in, with its slash. Its name is arbitrary.
std::string pth_prefix(const ZipReader& zip, const std::string& path) {
  constexpr std::string_view kPickle = "data.pkl";
  std::vector<std::string_view> prefixes;
  for (const ZipEntry& entry : zip.entries()) {
    if (!entry.name.ends_with(kPickle)) continue;
    const std::string_view prefix = entry.name.substr(0, entry.name.size() - kPickle.size());
    if (prefix.empty() || prefix.find('/') == prefix.size() - 1) prefixes.push_back(prefix);
  }
  if (prefixes.size() == 1) return std::string(prefixes[0]);
  const auto holds = [&](std::string_view part) {
    return std::ranges::any_of(zip.entries(),
                               [&](const ZipEntry& entry) { return entry.name.find(part) != std::string_view::npos; });
  };
  const char* what = holds("archive_format") ? "an archive of torch.export or AOTInductor"
                     : holds(".npy")         ? "an archive of numpy arrays"
                                             : "a zip archive without one data.pkl";
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: is {}, not a checkpoint: save model.state_dict() with torch.save", path, what));
}

void check_pth_archive(const ZipReader& zip, const std::string& prefix, const std::string& path) {
  if (zip.find(prefix + "constants.pkl"))
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: is a TorchScript archive, which holds code: save model.state_dict() with torch.save", path));
  const ZipEntry* order = zip.find(prefix + "byteorder");
  if (!order) return;
  const auto text = as_text(zip.read(*order));
  if (text == "big") refuse_big_endian(path);
  if (text != "little")
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: has the byte order \"{}\"", path, printable(text)));
}

// A storage's size in bytes, when it fits in an int64.
std::optional<int64_t> storage_bytes(const PthStorage& storage) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(storage.count, element_bytes(storage.dtype), &bytes)) return std::nullopt;
  return bytes;
}

// Where the storages of a legacy file lie: behind the last pickle, each after its count of elements.
class LegacyStorages {
 public:
  LegacyStorages(const Pickle& object, const std::string& path) : path_(path) {
    for (const PickleNode& node : object.nodes) {
      if (node.kind != PickleNode::Kind::persistent) continue;
      const auto storage = pth_storage(object, node, path_);
      if (!storage) continue;
      const auto [known, inserted] = places_.try_emplace(storage->key, Place{*storage, nullptr});
      if (!inserted && known->second.storage != *storage) fail(storage->key, "is described in two ways");
    }
  }

  void locate(const Pickle& keys, std::span<std::byte> bytes) {
    const PickleNode* list = keys.node(keys.root, PickleNode::Kind::list);
    if (!list) throw Error(ErrorCode::corrupt_file, path_ + ": has no list of storages");
    for (const PickleValue& key : list->items) {
      const auto place = key.kind == PickleValue::Kind::text ? places_.find(key.text()) : places_.end();
      if (place == places_.end())
        throw Error(ErrorCode::corrupt_file, path_ + ": lists a storage that no tensor names");
      const PthStorage& storage = place->second.storage;
      const auto size = storage_bytes(storage);
      int64_t count = 0;
      if (!size || bytes.size() < sizeof count || bytes.size() - sizeof count < static_cast<uint64_t>(*size))
        fail(storage.key, "reaches past the end of the file: it is truncated or corrupt");
      std::memcpy(&count, bytes.data(), sizeof count);
      if (count != storage.count) fail(storage.key, fmt::format("has {} elements, expected {}", count, storage.count));
      place->second.data = bytes.data() + sizeof count;
      bytes = bytes.subspan(sizeof count + static_cast<size_t>(*size));
    }
  }

  std::byte* data(const PthStorage& storage) const {
    std::byte* found = places_.at(storage.key).data;
    if (!found) fail(storage.key, "is not in the file");
    return found;
  }

 private:
  struct Place {
    PthStorage storage;
    std::byte* data;
  };
  [[noreturn]] void fail(std::string_view key, const std::string& why) const {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: storage {} {}", path_, printable(key), why));
  }

  const std::string& path_;
  std::unordered_map<std::string_view, Place> places_;
};

void check_system(const Pickle& system, const std::string& path) {
  const PickleNode* facts = system.node(system.root, PickleNode::Kind::dict);
  if (!facts) throw Error(ErrorCode::corrupt_file, path + ": has no description of the system that wrote it");
  for (size_t i = 0; i + 1 < facts->items.size(); i += 2)
    if (facts->items[i].is_text("little_endian") && facts->items[i + 1].is_false()) refuse_big_endian(path);
}

}  // namespace

TensorSource parse_pth(std::span<std::byte> bytes, const std::shared_ptr<void>& owner, const std::string& path,
                       const std::function<void(std::span<std::byte>)>& checked) {
  const ZipReader zip(bytes, path);
  const std::string prefix = pth_prefix(zip, path);
  check_pth_archive(zip, prefix, path);
  const Pickle object = read_pickle(zip.read(*zip.find(prefix + "data.pkl")), path, pickle_memory(bytes.size()));

  std::unordered_set<const ZipEntry*> used;  // a storage may be shared by tensors
  const auto data = [&](const PthStorage& storage) {
    const auto name = fmt::format("{}data/{}", prefix, storage.key);
    const ZipEntry* entry = zip.find(name);
    if (!entry) throw Error(ErrorCode::corrupt_file, fmt::format("{}: has no entry {}", path, printable(name)));
    const auto size = storage_bytes(storage);
    if (!size || static_cast<uint64_t>(*size) != entry->data.size())
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}: entry {} has {} bytes, expected {} elements of {}", path, printable(name),
                              entry->data.size(), storage.count, c10::toString(storage.dtype)));
    used.insert(entry);
    return entry->data.data();
  };
  TensorSource source{.container = "pth", .entries = pth_tensors(object, path, data, owner), .metadata = {}};
  check_shared_values(source.entries, bytes.size(), path);
  zip.check({used.begin(), used.end()}, checked);
  return source;
}

TensorSource parse_pth_legacy(std::span<std::byte> bytes, const std::shared_ptr<void>& owner, const std::string& path) {
  constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 0x1950a86a20f9469cfc6c
  constexpr int64_t kProtocol = 1001;
  auto rest = bytes;
  const auto next = [&] {
    Pickle pickle = read_pickle(rest, path, pickle_memory(bytes.size()));
    rest = rest.subspan(pickle.size);
    return pickle;
  };
  if (const auto magic = next().root; magic.kind != PickleValue::Kind::big_integer || magic.text() != kMagic)
    throw Error(ErrorCode::unsupported_format,
                path + ": is a Python pickle, but none of torch.save: save model.state_dict() with torch.save");
  if (const auto protocol = next().root; protocol.kind != PickleValue::Kind::integer || protocol.integer != kProtocol)
    throw Error(ErrorCode::unsupported_format, path + ": has an unknown version of torch's legacy format");
  check_system(next(), path);
  const Pickle object = next();
  LegacyStorages storages(object, path);
  {
    const Pickle keys = next();
    storages.locate(keys, rest);
  }
  const auto data = [&](const PthStorage& storage) { return storages.data(storage); };
  TensorSource source{.container = "pth (legacy)", .entries = pth_tensors(object, path, data, owner), .metadata = {}};
  check_shared_values(source.entries, bytes.size(), path);
  return source;
}

}  // namespace wkv::zoo
