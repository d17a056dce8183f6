#include "io/pth_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "io/layout.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using Value = PickleValue;

constexpr std::array<std::pair<std::string_view, c10::ScalarType>, 10> kStorageClasses{{
    {"DoubleStorage", c10::ScalarType::Double},
    {"FloatStorage", c10::ScalarType::Float},
    {"HalfStorage", c10::ScalarType::Half},
    {"BFloat16Storage", c10::ScalarType::BFloat16},
    {"LongStorage", c10::ScalarType::Long},
    {"IntStorage", c10::ScalarType::Int},
    {"ShortStorage", c10::ScalarType::Short},
    {"CharStorage", c10::ScalarType::Char},
    {"ByteStorage", c10::ScalarType::Byte},
    {"BoolStorage", c10::ScalarType::Bool},
}};
constexpr std::array<std::string_view, 4> kWrappers{"state_dict", "model_state_dict", "model", "module"};
constexpr int kDeepestWrapper = 3;

struct GlobalName {
  std::string_view module, name;
};

std::optional<GlobalName> global_name(const Pickle& pickle, const Value& value) {
  const PickleNode* node = pickle.node(value, PickleNode::Kind::global);
  if (!node || node->first.kind != Value::Kind::text || node->second.kind != Value::Kind::text) return std::nullopt;
  return GlobalName{node->first.text(), node->second.text()};
}

std::string describe_pickle_value(const Pickle& pickle, const Value& value) {
  const PickleNode* node = pickle.node(value);
  if (!node) return "a plain value";
  if (node->kind == PickleNode::Kind::list || node->kind == PickleNode::Kind::tuple) return "a list";
  if (node->kind == PickleNode::Kind::dict) return "a dict";
  const auto name = global_name(pickle, node->kind == PickleNode::Kind::call ? node->first : value);
  return name ? fmt::format("an object of {}.{}", printable(name->module), printable(name->name)) : "an object";
}

// Calls visit(key, value) for the members of a dict or of an object that was filled like one (an OrderedDict); Python 2
// gave the members of an OrderedDict as its one argument, a list of pairs.
template <typename visit_t>
void for_each_member(const Pickle& pickle, const PickleNode& node, const visit_t& visit) {
  if (node.kind != PickleNode::Kind::dict && node.kind != PickleNode::Kind::call) return;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) visit(node.items[i], node.items[i + 1]);
  const PickleNode* arguments =
      node.kind == PickleNode::Kind::call ? pickle.node(node.second, PickleNode::Kind::tuple) : nullptr;
  if (!arguments || arguments->items.size() != 1) return;
  const auto callee = global_name(pickle, node.first);
  const PickleNode* pairs = pickle.node(arguments->items[0], PickleNode::Kind::list);
  if (!callee || callee->name != "OrderedDict" || !pairs) return;
  for (const Value& item : pairs->items)
    if (const PickleNode* pair = pickle.node(item); pair && pair->items.size() == 2)
      visit(pair->items[0], pair->items[1]);
}

bool is_pth_tensor(const Pickle& pickle, const Value& value) {
  const PickleNode* node = pickle.node(value, PickleNode::Kind::call);
  const auto callee = node ? global_name(pickle, node->first) : std::nullopt;
  return callee && callee->module.starts_with("torch") && callee->name.starts_with("_rebuild_");
}

const PickleNode* find_state_dict(const Pickle& pickle, const Value& value, int depth) {
  const PickleNode* node = pickle.node(value);
  if (!node) return nullptr;
  bool holds_tensors = false;
  std::array<std::optional<Value>, kWrappers.size()> wrapped;
  for_each_member(pickle, *node, [&](const Value& key, const Value& member) {
    if (key.kind != Value::Kind::text) return;
    holds_tensors |= is_pth_tensor(pickle, member);
    const auto wrapper = std::ranges::find(kWrappers, key.text());
    if (wrapper != kWrappers.end()) wrapped[static_cast<size_t>(wrapper - kWrappers.begin())] = member;
  });
  if (holds_tensors) return node;
  if (depth == kDeepestWrapper) return nullptr;
  for (const auto& member : wrapped)
    if (const PickleNode* found = member ? find_state_dict(pickle, *member, depth + 1) : nullptr) return found;
  return nullptr;
}

// Builds the entry of one tensor; every complaint names it.
class PthTensorBuilder {
 public:
  PthTensorBuilder(const Pickle& pickle, const std::string& path, std::string_view name)
      : pickle_(pickle), path_(path), name_(name) {}

  TensorEntry build(const Value& value, const std::function<std::byte*(const PthStorage&)>& data) const {
    const std::vector<Value>& arguments = rebuild_arguments(value);  // storage, offset, size, stride, ...
    if (arguments.size() < 4) corrupt("is described by too few values");
    if (arguments.size() > 6)
      if (const PickleNode* flags = pickle_.node(arguments[6]); flags && !flags->items.empty())
        unsupported("is stored as the negative or conjugate of its data: save a resolved copy");
    const PickleNode* id = pickle_.node(arguments[0], PickleNode::Kind::persistent);
    const auto storage = id ? pth_storage(pickle_, *id, path_) : std::nullopt;
    if (!storage) corrupt("has no storage");
    const int64_t offset = integer(arguments[1]);

    TensorEntry entry{.name = std::string(name_),
                      .dtype = storage->dtype,
                      .shape = integers(arguments[2]),
                      .strides = integers(arguments[3]),
                      .data = nullptr,
                      .owner = nullptr};
    const auto count = element_count(entry.shape), extent = memory_extent(entry.shape, entry.strides);
    if (!count || !extent) corrupt("has an impossible shape or stride");
    if (offset < 0 || *extent > storage->count || offset > storage->count - *extent)
      corrupt(fmt::format("reaches past the end of its storage of {} elements", storage->count));
    if (*count > storage->count) unsupported("is an expanded view: save a contiguous copy");
    entry.data = data(*storage) + offset * element_bytes(storage->dtype);
    return entry;
  }

 private:
  // Peels off what only wraps a tensor: a Parameter, a subclass.
  const std::vector<Value>& rebuild_arguments(Value value) const {
    constexpr int kMaxLayers = 8;
    for (int layer = 0; layer < kMaxLayers; ++layer) {
      const PickleNode* call = pickle_.node(value, PickleNode::Kind::call);
      if (!call) corrupt("is wrapped around no tensor");
      auto callee = global_name(pickle_, call->first);
      const PickleNode* arguments = pickle_.node(call->second, PickleNode::Kind::tuple);
      if (callee && callee->name == "_rebuild_from_type_v2" && arguments && arguments->items.size() > 2) {
        callee = global_name(pickle_, arguments->items[0]);
        arguments = pickle_.node(arguments->items[2], PickleNode::Kind::tuple);
      }
      if (!callee || !arguments || arguments->items.empty()) corrupt("is rebuilt from nothing");
      if (callee->name == "_rebuild_tensor" || callee->name == "_rebuild_tensor_v2") return arguments->items;
      if (callee->name == "_rebuild_tensor_v3" && arguments->items.size() > 6)
        if (const auto dtype = global_name(pickle_, arguments->items[6]))
          unsupported(fmt::format("has dtype {}, which is not supported", printable(dtype->name)));
      if (callee->name != "_rebuild_parameter" && callee->name != "_rebuild_parameter_with_state")
        unsupported(fmt::format("is no plain dense tensor ({}): convert it before saving", printable(callee->name)));
      value = arguments->items[0];
    }
    corrupt("is wrapped too often");
  }

  int64_t integer(const Value& value) const {
    if (value.kind != Value::Kind::integer) corrupt("is described by something that is no integer");
    return value.integer;
  }
  std::vector<int64_t> integers(const Value& value) const {
    const PickleNode* node = pickle_.node(value);
    if (node && node->kind == PickleNode::Kind::call) {  // torch.Size((2, 3))
      const PickleNode* arguments = pickle_.node(node->second, PickleNode::Kind::tuple);
      node = arguments && arguments->items.size() == 1 ? pickle_.node(arguments->items[0]) : nullptr;
    }
    if (!node || (node->kind != PickleNode::Kind::tuple && node->kind != PickleNode::Kind::list))
      corrupt("has no list of sizes or strides");
    if (node->items.size() > kMaxRank) unsupported(fmt::format("has more than {} dimensions", kMaxRank));
    std::vector<int64_t> result;
    for (const Value& item : node->items) result.push_back(integer(item));
    return result;
  }

  [[noreturn]] void corrupt(const std::string& why) const { fail(ErrorCode::corrupt_file, why); }
  [[noreturn]] void unsupported(const std::string& why) const { fail(ErrorCode::unsupported_format, why); }
  [[noreturn]] void fail(ErrorCode code, const std::string& why) const {
    throw Error(code, fmt::format("{}: tensor \"{}\" {}", path_, printable(name_), why));
  }

  const Pickle& pickle_;
  const std::string& path_;
  std::string_view name_;
};

[[noreturn]] void refuse_without_tensors(const Pickle& pickle, const std::string& path) {
  std::string keys;
  const PickleNode* root = pickle.node(pickle.root);
  size_t shown = 0;
  if (root)
    for_each_member(pickle, *root, [&](const Value& key, const Value&) {
      if (key.kind == Value::Kind::text && shown++ < 8)
        keys += fmt::format("{}{}", keys.empty() ? "" : ", ", printable(key.text()));
    });
  throw Error(ErrorCode::unsupported_format, fmt::format("{}: holds {}{}{}, not a dict of named tensors (alone, or "
                                                         "under state_dict, model_state_dict, model or module): save "
                                                         "model.state_dict()",
                                                         path, describe_pickle_value(pickle, pickle.root),
                                                         keys.empty() ? "" : " with the keys ", keys));
}

}  // namespace

std::string_view pth_storage_class(c10::ScalarType dtype) {
  const auto found = std::ranges::find(kStorageClasses, dtype, [](const auto& known) { return known.second; });
  return found == kStorageClasses.end() ? std::string_view() : found->first;
}

std::optional<PthStorage> pth_storage(const Pickle& pickle, const PickleNode& persistent, const std::string& path) {
  const PickleNode* id =
      pickle.node(persistent.first, PickleNode::Kind::tuple);  // "storage", class, key, device, count, ...
  if (!id || id->items.empty() || !id->items[0].is_text("storage")) return std::nullopt;
  const auto type = id->items.size() >= 5 ? global_name(pickle, id->items[1]) : std::nullopt;
  constexpr size_t kLongestKey = 1000;
  if (!type || id->items[2].kind != Value::Kind::text || id->items[2].size > kLongestKey ||
      id->items[4].kind != Value::Kind::integer || id->items[4].integer < 0)
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: a storage is not described as torch does", path));
  if (id->items.size() > 5 && id->items[5].kind != Value::Kind::none)
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: holds views of storages, which torch < 0.4 wrote: save it again", path));
  const auto* known = std::ranges::find(kStorageClasses, type->name, &decltype(kStorageClasses)::value_type::first);
  if (known == kStorageClasses.end())
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: storages of type {}.{} are not supported", path,
                                                           printable(type->module), printable(type->name)));
  return PthStorage{id->items[2].text(), known->second, id->items[4].integer};
}

std::vector<TensorEntry> pth_tensors(const Pickle& pickle, const std::string& path,
                                     const std::function<std::byte*(const PthStorage&)>& data,
                                     const std::shared_ptr<void>& owner) {
  const PickleNode* state_dict = find_state_dict(pickle, pickle.root, 0);
  if (!state_dict) refuse_without_tensors(pickle, path);
  std::vector<TensorEntry> entries;
  std::unordered_set<std::string_view> names;
  for_each_member(pickle, *state_dict, [&](const Value& key, const Value& value) {
    if (key.kind != Value::Kind::text || !is_pth_tensor(pickle, value)) return;
    if (!names.insert(key.text()).second)
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}: tensor \"{}\" is there twice", path, printable(key.text())));
    if (entries.size() == kMaxTensors)
      throw Error(ErrorCode::unsupported_format, fmt::format("{}: holds more than {} tensors", path, kMaxTensors));
    entries.push_back(PthTensorBuilder(pickle, path, key.text()).build(value, data));
    entries.back().owner = owner;
  });
  return entries;
}

}  // namespace wkv::zoo
