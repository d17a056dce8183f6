// Reads Python pickles without Python: an inert machine, in which nothing is ever imported or called.
// What a pickle would construct becomes a node that only says so; what that means is up to the reader of the nodes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// One Python value. Texts and bytes are views of the pickle; everything that holds others is a node, named by its
// number.
struct PickleValue {
  enum class Kind : uint8_t { none, boolean, integer, big_integer, real, text, bytes, node };

  PickleValue() = default;
  explicit PickleValue(Kind what, uint32_t length = 0) : kind(what), size(length) {}

  Kind kind = Kind::none;
  uint32_t size = 0;  // of texts, bytes and big integers (little-endian, two's complement)
  union {
    int64_t integer = 0;  // also booleans and the numbers of nodes
    double real;
    const char* characters;
  };

  bool is_text(std::string_view expected) const { return kind == Kind::text && text() == expected; }
  bool is_false() const { return kind == Kind::boolean && integer == 0; }
  std::string_view text() const { return {characters, size}; }
};

struct PickleNode {
  enum class Kind : uint8_t {
    list,
    tuple,
    dict,
    set,
    global,      // `first`: module, `second`: name
    call,        // `first`: what would be called, `second`: its arguments
    persistent,  // `first`: the id
  };

  Kind kind;
  PickleValue first{}, second{};
  std::vector<PickleValue> items{};  // elements; of a dict (or an object used like one): key, value, key, value, ...
};

struct Pickle {
  PickleValue root;
  std::deque<PickleNode> nodes;  // in the order of their making; may refer to each other in circles
  size_t size = 0;               // in bytes: where the next pickle begins

  const PickleNode* node(const PickleValue& value) const {  // null for what is no node
    return value.kind == PickleValue::Kind::node ? &nodes[static_cast<size_t>(value.integer)] : nullptr;
  }
  const PickleNode* node(const PickleValue& value, PickleNode::Kind kind) const {  // null for any other kind
    const PickleNode* found = node(value);
    return found && found->kind == kind ? found : nullptr;
  }
};

// Reads one pickle (protocol 2 to 5) from the start of `bytes`, which must outlive the result. Throws wkv::Error,
// beginning with `where`: corrupt_file; unsupported_format for what torch.save never writes. The result takes about
// `memory` bytes at most.
WKV_API Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where, size_t memory);

}  // namespace wkv::zoo
