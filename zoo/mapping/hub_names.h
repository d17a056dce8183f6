// One table of names serves a layout both ways: what a package calls a published tensor, and how it holds it.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mapping/checkpoint.h"
#include "mapping/conversion.h"

namespace wkv::zoo {

enum class Held { alike, transposed, as_vector };  // as_vector: [C], of what may be published as [1, 1, C]

struct HubName {
  std::string_view theirs, published;
  Held held = Held::alike;
};

struct HubNames {
  std::string_view blocks;            // what stands before a block's number, for "blocks."
  std::span<const HubName> of_model;  // whole names
  std::span<const HubName> of_block;  // what follows the block's number and its dot

  // The file's tensor under its published name; under its own when the table hasn't got it. Throws wkv::Error for one
  // to transpose that is no matrix.
  TensorEntry published(const Checkpoint& file, const std::string& name, const TensorEntry& entry) const;
  // Puts all of the model's tensors under the package's names. Throws wkv::Error, unsupported_format, when the table
  // hasn't got one.
  void rename(ModelTensors& model, const std::string& source) const;
};

// "<prefix>12.rest" as {12, rest}; a number of -1 for any other name.
struct BlockName {
  int64_t block = -1;
  std::string_view rest;
};
BlockName block_name(std::string_view name, std::string_view prefix);

// Views of an entry's memory.
TensorEntry renamed(TensorEntry entry, std::string name);
TensorEntry transposed(TensorEntry entry);                           // of a matrix
TensorEntry row_of(TensorEntry entry, int64_t i, std::string name);  // entry[i], where that is one of its rows

}  // namespace wkv::zoo
