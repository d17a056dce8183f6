// A checkpoint as the mappings see it: tensors by name, wrappers' prefixes removed, and what its configuration says.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mapping/quantization.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {

class Checkpoint {
 public:
  // path: for messages.
  Checkpoint(TensorSource source, std::string path);
  Checkpoint(const Checkpoint&) = delete;  // tensors_ points into source_
  Checkpoint& operator=(const Checkpoint&) = delete;

  const std::string& path() const { return path_; }
  const std::string& container() const { return source_.container; }
  const std::map<std::string, const TensorEntry*>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return source_.metadata; }
  // How the file's matrices are quantised, "int8" or "int4"; empty: they are not.
  const std::string& quantization() const { return quantization_; }
  bool has(const std::string& name) const { return tensors_.contains(name); }
  bool has_prefix(const std::string& prefix) const;
  // The shape of a tensor that must be there, with so many dimensions where they are given; throws wkv::Error
  // otherwise. Of a quantised matrix it is that of what it holds, as everywhere here.
  const std::vector<int64_t>& shape(const std::string& name) const;
  const std::vector<int64_t>& shape(const std::string& name, size_t dimensions) const;
  // Of one of tensors(): the shape as above, and the dtype by name, "fp32", ..., or a quantised matrix's format.
  const std::vector<int64_t>& shape(const TensorEntry& entry) const;
  std::string dtype(const TensorEntry& entry) const;
  bool is_quantized(const TensorEntry& entry) const { return matrices_.contains(&entry); }
  // A tensor that must be there with this shape; throws wkv::Error otherwise. Asked of a square matrix, it proves a
  // width that would else be taken from one row before memory for its square is.
  void require_shape(const std::string& name, const std::vector<int64_t>& expected) const;
  // Lets go of a tensor's memory, for a caller that has its values elsewhere and won't look at it again.
  void release(const TensorEntry& entry) { source_.entries[&entry - source_.entries.data()].owner.reset(); }
  // Puts these tensors in the place of all, as one that translates another package's layout does. Throws wkv::Error for
  // two of one name.
  void replace(std::vector<TensorEntry> entries);
  // Number of blocks: one more than the largest i of names "<prefix><i>.<rest>"; throws wkv::Error when an index is
  // left out.
  int64_t count_blocks(const std::string& prefix) const;

 private:
  void index();
  void find_quantized_matrices();

  TensorSource source_;
  std::string path_, quantization_;
  std::map<std::string, const TensorEntry*> tensors_;
  std::map<const TensorEntry*, QuantizedMatrix> matrices_;
};

// Configuration keys as upstream writes them. Reading a key marks it as known.
class Config {
 public:
  Config() = default;
  Config(nlohmann::json values, std::string where) : values_(std::move(values)), where_(std::move(where)) {}

  // A key that the shapes tell too: throws wkv::Error when the configuration says otherwise. null means "not given".
  void expect(const std::string& key, int64_t found);
  void expect(const std::string& key,
              const std::vector<std::string>& accepted);  // a string or number, e.g. "x070" or 7
  // A key that shapes can't tell.
  double number(const std::string& key, double otherwise);
  int64_t integer(const std::string& key, int64_t otherwise);
  bool flag(const std::string& key, bool otherwise);
  std::optional<std::vector<int64_t>> integers(const std::string& key);                    // or one integer, as a list
  std::optional<std::vector<std::pair<int64_t, int64_t>>> ranges(const std::string& key);  // a list of [first, last]
  // A key that must have this value, a string or the JSON text of anything else, where it is given: the model is built
  // for no other. Throws wkv::Error.
  void require(const std::string& key, const std::vector<std::string>& supported);
  std::string text(const std::string& key, const std::string& otherwise);
  // Is the key given, and with this value?
  bool says(const std::string& key, const std::string& value);
  // A parameter that the configuration asks for and the file lacks: its value is the one that the module starts with.
  void add_parameter(std::string name) { added_.insert(std::move(name)); }
  bool adds(const std::string& name) const { return added_.contains(name); }
  void accept(const std::string& key) { known_.insert(key); }
  // What the keys that aren't given are taken to be.
  void fill(const nlohmann::json& values);
  Config section(const std::string& key);

  std::vector<std::string> unknown_keys() const;

 private:
  const nlohmann::json* given(const std::string& key);
  nlohmann::json values_ = nlohmann::json::object();
  std::string where_ = "configuration";
  std::set<std::string> known_, added_;
};

// From LoadOptions::config: JSON text, a path, or, empty, config.json in the checkpoint where that is a folder and has
// one.
Config read_config(const std::string& text_or_path, const std::string& checkpoint);

}  // namespace wkv::zoo
