// The tensors in the pickle of a .pth file: which of its nodes they are, and where each lies in its storage.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/pickle_machine.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// A storage as a tensor names it. Where it was (cuda:0) does not matter: it is read from the file.
struct PthStorage {
  std::string_view key;
  c10::ScalarType dtype;
  int64_t count;  // of elements

  bool operator==(const PthStorage&) const = default;
};

// The class of the storages with this dtype, "FloatStorage"; empty for a dtype that no checkpoint has.
std::string_view pth_storage_class(c10::ScalarType dtype);

// What the persistent id stands for; nothing when it is no storage. Throws unsupported_format for a storage of unknown
// type.
std::optional<PthStorage> pth_storage(const Pickle& pickle, const PickleNode& persistent, const std::string& path);

// The named tensors of the pickle's dict. A dict that holds no tensor itself is searched for one that does under the
// keys state_dict, model_state_dict, model and module, three levels deep. `data` gives the memory of a storage, which
// has all of its elements.
std::vector<TensorEntry> pth_tensors(const Pickle& pickle, const std::string& path,
                                     const std::function<std::byte*(const PthStorage&)>& data,
                                     const std::shared_ptr<void>& owner);

}  // namespace wkv::zoo
